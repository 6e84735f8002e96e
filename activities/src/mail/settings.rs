//! Settings for the mail server.

use diagflow_store::settings::{convert, parse, parse_seconds, within};
use lettre::message::Mailbox;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Upper bound for the time to wait for the reply to the message data. RFC 5321, section 4.5.3.2.6 recommends ten
/// minutes because servers may scan for viruses, for example, but an activity attempt times out earlier.
pub const MAX_RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
const MIN_RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (port 465).
    Implicit,
    /// TLS after the STARTTLS command, which the server must offer (port 587).
    StartTls,
    /// No TLS. Intended only for a mail catcher on the same machine.
    None,
}

/// What a result e-mail contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailContent {
    /// The result, and a link to the submission's page.
    Full,
    /// Only a link to the submission's page.
    Link,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MailSettings {
    #[serde(rename = "SMTP_HOST")]
    pub host: String,
    #[serde(rename = "SMTP_PORT", deserialize_with = "parse")]
    pub port: u16,
    #[serde(rename = "SMTP_USER")]
    pub user: Option<String>,
    /// The password for `SMTP_USER`. Both settings must be set, or neither.
    #[serde(rename = "SMTP_PASSWORD")]
    pub password: Option<SecretString>,
    #[serde(rename = "SMTP_TLS")]
    pub tls: SmtpTls,
    #[serde(rename = "SMTP_CA_FILE", deserialize_with = "file", default)]
    pub ca_certificate: Option<Vec<u8>>,
    /// Sender of all e-mails. Its domain is also used in every Message-ID.
    #[serde(rename = "MAIL_FROM", deserialize_with = "parse")]
    pub from: Mailbox,
    #[serde(rename = "SMTP_POOL_SIZE", deserialize_with = "within::<_, _, 1, 1000>")]
    pub pool_size: u32,
    #[serde(rename = "MAIL_CONTENT")]
    pub content: MailContent,
    #[serde(rename = "EMAIL_LINK_HOURS", deserialize_with = "within::<_, _, 1, 720>")]
    pub link_hours: u32,
    /// Maximum time to wait for the reply to the message data. If none arrives, the delivery becomes `unknown`.
    #[serde(rename = "SMTP_RESPONSE_TIMEOUT_SECONDS", deserialize_with = "response_timeout")]
    pub response_timeout: Duration,
}

fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    convert(deserializer, |path| std::fs::read(path).ok().map(Some))
}

fn response_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let range = MIN_RESPONSE_TIMEOUT..=MAX_RESPONSE_TIMEOUT;
    convert(deserializer, |text| parse_seconds(text).filter(|timeout| range.contains(timeout)))
}

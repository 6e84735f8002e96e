//! Settings of the mail server.

use diagflow_store::settings::{convert, parse, parse_seconds, within};
use lettre::message::Mailbox;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Longest wait for the reply to the text of an e-mail. RFC 5321, 4.5.3.2.6 recommends ten minutes, because servers may
/// take long, for example to scan for viruses. But the activity attempt would time out before that.
pub const MAX_RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
const MIN_RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (port 465).
    Implicit,
    /// TLS after STARTTLS, which the server must offer (port 587).
    StartTls,
    /// No TLS, for a mail catcher on the same machine.
    None,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MailSettings {
    #[serde(rename = "SMTP_HOST")]
    pub host: String,
    #[serde(rename = "SMTP_PORT", deserialize_with = "parse")]
    pub port: u16,
    #[serde(rename = "SMTP_USER")]
    pub user: Option<String>,
    /// Set if and only if `SMTP_USER` is set.
    #[serde(rename = "SMTP_PASSWORD")]
    pub password: Option<SecretString>,
    #[serde(rename = "SMTP_TLS")]
    pub tls: SmtpTls,
    /// PEM.
    #[serde(rename = "SMTP_CA_FILE", deserialize_with = "file", default)]
    pub ca_certificate: Option<Vec<u8>>,
    /// The domain is also part of the Message-IDs.
    #[serde(rename = "MAIL_FROM", deserialize_with = "parse")]
    pub from: Mailbox,
    #[serde(rename = "SMTP_POOL_SIZE", deserialize_with = "within::<_, _, 1, 1000>")]
    pub pool_size: u32,
    /// An e-mail without a reply within this time counts as unknown, even if it was accepted.
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

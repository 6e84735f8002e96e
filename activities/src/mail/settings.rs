//! How to reach the mail server, and as whom.

use lettre::message::Mailbox;
use secrecy::SecretString;
use std::time::Duration;

/// Longest wait for the answer to an e-mail's text. RFC 5321, 4.5.3.2.6 allows ten minutes, and servers
/// that look for viruses first do take long; but longer than this an attempt would be cut off.
pub const MAX_RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);

/// How the conversation with the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte (port 465).
    Implicit,
    /// By STARTTLS, which the server must offer (port 587).
    StartTls,
    /// Not at all: for a mail catcher on the same machine.
    None,
}

/// How to reach the mail server, and as whom.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// `SMTP_HOST`.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    /// `SMTP_USER` and `SMTP_PASSWORD`, both or neither.
    pub credentials: Option<(String, SecretString)>,
    /// `SMTP_TLS`: `implicit`, `starttls` or `none`.
    pub tls: SmtpTls,
    /// `SMTP_CA_FILE`: a PEM file with a certificate authority to trust besides the public ones.
    pub ca_certificate: Option<Vec<u8>>,
    /// `MAIL_FROM`: the sender; its domain also ends the Message-IDs.
    pub from: Mailbox,
    /// `SMTP_POOL_SIZE`: most conversations at once.
    pub pool_size: u32,
    /// `SMTP_RESPONSE_TIMEOUT_SECONDS`: how long handing the text over and the answer to it may take; at most
    /// [`MAX_RESPONSE_TIMEOUT`]. Whoever gives up earlier must call an e-mail unknown that did arrive.
    pub response_timeout: Duration,
}

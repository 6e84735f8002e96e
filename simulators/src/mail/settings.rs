//! Settings for the mail catcher.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

use super::script::Script;

/// Settings for the mail catcher. Every field has a default, and unknown fields are rejected.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Host name in the greeting.
    pub hostname: String,
    /// User name for AUTH. If both the user name and the password are set, clients must authenticate.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Maximum message size in bytes, advertised with the SIZE extension.
    pub max_message_bytes: usize,
    /// Whether the server advertises SMTPUTF8 and accepts non-ASCII addresses.
    pub smtputf8: bool,
    /// Maximum number of stored messages. The oldest are deleted first, including from the spool folder.
    pub capacity: usize,
    /// Spool folder in which each message is stored as an `.eml` file. If unset, messages are stored only in memory.
    pub spool: Option<PathBuf>,
    pub script: Script,
    /// TLS settings. If set, clients must use TLS.
    pub tls: Option<TlsSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    pub mode: TlsMode,
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// TLS after the STARTTLS command.
    StartTls,
}

impl Settings {
    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.user.as_deref().zip(self.password.as_deref())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "mail-catcher.localhost".to_owned(),
            user: None,
            password: None,
            max_message_bytes: 25 * 1024 * 1024,
            smtputf8: true,
            capacity: 5000,
            spool: None,
            script: Script::default(),
            tls: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("hostname", &self.hostname)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("max_message_bytes", &self.max_message_bytes)
            .field("smtputf8", &self.smtputf8)
            .field("capacity", &self.capacity)
            .field("spool", &self.spool)
            .field("script", &self.script)
            .field("tls", &self.tls)
            .finish()
    }
}

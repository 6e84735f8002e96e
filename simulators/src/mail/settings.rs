//! Settings of the mail catcher.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

use super::script::Script;

/// Every field has a default; unknown fields are rejected.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The name in the greeting.
    pub hostname: String,
    /// If user and password are set, AUTH is offered and required.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Maximum size of a message in bytes, announced by SIZE.
    pub max_message_bytes: usize,
    /// Whether non-ASCII addresses are accepted and SMTPUTF8 is announced.
    pub smtputf8: bool,
    /// Maximum number of messages; the oldest are deleted first, in the spool folder too.
    pub capacity: usize,
    /// Folder for the messages, one `.eml` file each; without it they are only in memory.
    pub spool: Option<PathBuf>,
    pub script: Script,
    /// If set, TLS is offered and required.
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
    /// TLS starts with the first byte.
    Implicit,
    /// TLS starts with STARTTLS.
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

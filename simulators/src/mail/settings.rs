//! What the mail catcher can be told at start.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

use super::script::Script;

/// Settings of the mail catcher. Every field has a default; unknown fields are refused.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The name the server greets with.
    pub hostname: String,
    /// With `user` and `password` set, AUTH is offered, and mail needs it.
    pub user: Option<String>,
    /// See `user`.
    pub password: Option<String>,
    /// Largest message in bytes, as announced by SIZE.
    pub max_message_bytes: usize,
    /// Whether addresses beyond ASCII are taken, and SMTPUTF8 announced.
    pub smtputf8: bool,
    /// How many mails are kept; the oldest go first, on disk too.
    pub capacity: usize,
    /// Folder for the mails, one `.eml` file each; without one they are kept in memory only.
    pub spool: Option<PathBuf>,
    /// The misbehaviour to begin with.
    pub script: Script,
    /// Without it, no TLS is offered. With it, mail needs it.
    pub tls: Option<TlsSettings>,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// When it begins.
    pub mode: TlsMode,
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the certificate's key.
    pub key: PathBuf,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// With the first byte.
    Implicit,
    /// By STARTTLS.
    StartTls,
}

impl Settings {
    /// User name and password, if both are set.
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

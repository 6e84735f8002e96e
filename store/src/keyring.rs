//! Secrets that can be replaced without invalidating values derived from earlier secrets.

use secrecy::SecretString;

/// A secret, plus other secrets that are also accepted: those it replaced, or the one that will replace it.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: SecretString,
    others: Vec<SecretString>,
}

impl Keyring {
    pub fn new(current: SecretString, others: Vec<SecretString>) -> Self {
        Self { current, others }
    }

    pub fn current(&self) -> &SecretString {
        &self.current
    }

    pub fn others(&self) -> &[SecretString] {
        &self.others
    }
}

impl From<&str> for Keyring {
    fn from(secret: &str) -> Self {
        Self::new(secret.into(), Vec::new())
    }
}

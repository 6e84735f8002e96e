//! Random secrets that we give out and keep only a digest of.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::Sha256;

/// 256 random bits, as text. No need to slow down guessing: there is nothing to guess from.
pub(crate) struct RandomSecret(String);

impl RandomSecret {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What is given out, once.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.0.as_bytes())
    }
}

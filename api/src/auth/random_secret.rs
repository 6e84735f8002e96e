//! Random secrets. The database stores only their digests.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::Sha256;

/// A secret of 256 random bits, as text. Guessing it is infeasible, so its digest does not need a slow hash function.
pub(crate) struct RandomSecret(String);

impl RandomSecret {
    pub(crate) fn new() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the digest that the database stores instead of the secret.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.0.as_bytes())
    }
}

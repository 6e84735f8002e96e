//! Access tokens: who holds a submission's token may read that submission.
//!
//! A token is derived from the submission's id and our secret, so none is stored, and a repeated
//! request gets the same one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::SubmissionId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Bound into every token, so that the same secret can derive other things without clashes.
const PURPOSE: &str = "diagflow access token v1:";

/// Derives and checks access tokens.
pub(crate) struct SubmissionTokens(Hmac<Sha256>);

impl SubmissionTokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    fn mac(&self, submission: SubmissionId) -> Hmac<Sha256> {
        self.0.clone().chain_update(PURPOSE).chain_update(submission.to_string())
    }

    /// The token that opens `submission`.
    pub(crate) fn token(&self, submission: SubmissionId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac(submission).finalize().into_bytes())
    }

    /// Whether `token` opens `submission`; takes the same time wherever it differs.
    pub(crate) fn verifies(&self, token: &str, submission: SubmissionId) -> bool {
        BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .is_ok_and(|given| self.mac(submission).verify_slice(&given).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11";

    #[test]
    fn a_token_is_the_documented_hmac() {
        // printf 'diagflow access token v1:<ID>' | openssl dgst -sha256 -hmac 'a secret' -binary | basenc --base64url
        let id: SubmissionId = ID.parse().expect("an id");
        let token = SubmissionTokens::new(&"a secret".into()).token(id);
        assert_eq!(token, "JBE0CI9C4K4SDb9FJ5lZG2hIaDmBkaIzoDGXTauiLYY");
    }

    #[test]
    fn a_token_is_valid_for_its_own_submission_only() {
        let key = SubmissionTokens::new(&"a secret".into());
        let id = SubmissionId::new();
        let token = key.token(id);
        assert!(key.verifies(&token, id));
        assert!(!key.verifies(&token, SubmissionId::new()));
        assert!(!SubmissionTokens::new(&"another".into()).verifies(&token, id));
        for wrong in ["", "AAAA", &token[1..], &format!("{token}A"), "not base64!"] {
            assert!(!key.verifies(wrong, id), "{wrong:?}");
        }
    }
}

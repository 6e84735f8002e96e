//! Submission access tokens. Whoever holds a token may read and cancel the submission. A token is derived from the
//! submission's id, so it does not need to be stored and a repeated request returns the same token.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{Keyring, MacKey, SubmissionId};

pub(crate) struct SubmissionTokens(MacKey);

impl SubmissionTokens {
    pub(crate) fn new(secrets: &Keyring) -> Self {
        Self(MacKey::derive(secrets, "diagflow access token v1"))
    }

    pub(crate) fn token(&self, submission: SubmissionId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.tag(submission.to_string()))
    }

    pub(crate) fn verifies(&self, token: &str, submission: SubmissionId) -> bool {
        let tag = BASE64_URL_SAFE_NO_PAD.decode(token);
        tag.is_ok_and(|tag| self.0.verify(submission.to_string(), &tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_only_for_its_own_submission() {
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

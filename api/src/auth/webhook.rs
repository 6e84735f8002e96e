//! Verifies that a callback comes from LoopAI, which signs the body and a timestamp with a shared secret.

use crate::error::ApiError;
use axum::http::HeaderMap;
use diagflow_store::MacKey;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// Header containing the time the callback was sent, as a Unix timestamp in seconds.
pub(crate) const TIMESTAMP: &str = "x-loopai-timestamp";
/// Header containing the hexadecimal HMAC-SHA256 of `{timestamp}.{body}`.
pub(crate) const SIGNATURE: &str = "x-loopai-signature";

/// Maximum difference between the times at which a callback is sent and received. A replayed callback causes only one
/// more poll, but old callbacks must not be accepted forever.
const TOLERANCE: Duration = Duration::from_secs(300);

pub(crate) struct WebhookKey(MacKey);

impl WebhookKey {
    pub(crate) fn new(secret: &SecretString) -> Self {
        Self(MacKey::raw(secret.expose_secret()))
    }

    /// Verifies a callback. `now` is the time the callback was received, as a Unix timestamp in seconds.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: i64,
    ) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(timestamp), Some(signature)) = (text(TIMESTAMP), text(SIGNATURE)) else {
            return Err(ApiError::InvalidSignature);
        };
        let sent: i64 = timestamp.parse().map_err(|_| ApiError::InvalidSignature)?;
        let tag = hex::decode(signature).map_err(|_| ApiError::InvalidSignature)?;
        let is_recent = now.abs_diff(sent) <= TOLERANCE.as_secs();
        match self.0.verify([timestamp.as_bytes(), b".", body].concat(), &tag) {
            true if is_recent => Ok(()),
            _ => Err(ApiError::InvalidSignature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"submission_id":"x"}"#;
    // printf '1000.{"submission_id":"x"}' | openssl dgst -sha256 -hmac 'a secret'
    const VALID: &str = "39eda9119a1cb78869379ebd07ec4aecb727a7e1da94a6b7c2a29d484df37611";

    fn verify(timestamp: &str, signature: &str, body: &[u8], now: i64) -> bool {
        let headers = [(TIMESTAMP, timestamp), (SIGNATURE, signature)]
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let headers = HeaderMap::from_iter(headers);
        WebhookKey::new(&"a secret".into()).verify(&headers, body, now).is_ok()
    }

    #[test]
    fn a_recent_callback_with_a_valid_signature_is_accepted() {
        assert!(verify("1000", VALID, BODY, 1000));
        assert!(verify("1000", VALID, BODY, 1300));
        assert!(verify("1000", VALID, BODY, 700));
        assert!(!verify("1000", VALID, BODY, 1301), "too old");
        assert!(!verify("1000", VALID, BODY, 699), "from the future");
    }

    #[test]
    fn a_tampered_callback_is_rejected() {
        assert!(!verify("1001", VALID, BODY, 1000));
        assert!(!verify("1000", VALID, b"{}", 1000));
        assert!(!verify("1000", &VALID[2..], BODY, 1000));
        assert!(!verify("1000", "", BODY, 1000));
        assert!(!verify("soon", VALID, BODY, 1000));
        let none = WebhookKey::new(&"a secret".into()).verify(&HeaderMap::new(), BODY, 1000);
        assert!(none.is_err());
    }
}

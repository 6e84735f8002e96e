//! Proves that a call-back comes from LoopAI: it is signed with a secret that only the two of us know,
//! together with the time at which it was sent.

use crate::error::ApiError;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::time::Duration;

/// Header with the time of sending: seconds since 1970 (UTC).
pub(crate) const TIMESTAMP: &str = "x-loopai-timestamp";
/// Header with the HMAC-SHA256 of `{timestamp}.{body}`, in hexadecimal.
pub(crate) const SIGNATURE: &str = "x-loopai-signature";

/// How far the two clocks may differ. An old call-back that is sent once more does no harm beyond a
/// needless look, but not for ever.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Checks signatures.
pub(crate) struct WebhookKey(Hmac<Sha256>);

impl WebhookKey {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    /// Checks a call-back that arrives at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`ApiError::InvalidSignature`].
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
        let given = hex::decode(signature).map_err(|_| ApiError::InvalidSignature)?;
        let mac = self.0.clone().chain_update(timestamp).chain_update(".").chain_update(body);
        let is_recent = now.abs_diff(sent) <= TOLERANCE.as_secs();
        match mac.verify_slice(&given) {
            Ok(()) if is_recent => Ok(()),
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
    fn a_signed_and_recent_callback_is_accepted() {
        assert!(verify("1000", VALID, BODY, 1000));
        assert!(verify("1000", VALID, BODY, 1300));
        assert!(verify("1000", VALID, BODY, 700));
        assert!(!verify("1000", VALID, BODY, 1301), "too old");
        assert!(!verify("1000", VALID, BODY, 699), "from the future");
    }

    #[test]
    fn a_changed_callback_is_rejected() {
        assert!(!verify("1001", VALID, BODY, 1000));
        assert!(!verify("1000", VALID, b"{}", 1000));
        assert!(!verify("1000", &VALID[2..], BODY, 1000));
        assert!(!verify("1000", "", BODY, 1000));
        assert!(!verify("soon", VALID, BODY, 1000));
        let none = WebhookKey::new(&"a secret".into()).verify(&HeaderMap::new(), BODY, 1000);
        assert!(none.is_err());
    }
}

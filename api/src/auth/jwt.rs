//! Session access tokens. A token identifies only the account and the session. Permissions are read from the database
//! on every request, so changes take effect immediately.

use crate::auth::hmac_provider;
use crate::settings::{JwtAlgorithm, JwtSettings};
use chrono::Utc;
use diagflow_store::{SessionId, Sha256, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const ISSUER: &str = "diagflow";
const AUDIENCE: &str = "diagflow-api";
/// The `typ` header of an access token (RFC 9068, 2.1). Other kinds of tokens have different types.
const TYPE: &str = "at+jwt";
/// Length of a key id, which consists of the first hexadecimal digits of the key's digest.
const KEY_ID_LENGTH: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: UserId,
    pub(crate) sid: SessionId,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// We issued the token, but it has expired.
    Expired(Claims),
    /// We did not issue the token, or it was altered.
    Invalid,
}

pub(crate) struct AccessTokens {
    algorithm: Algorithm,
    lifetime: Duration,
    signing_key: (String, EncodingKey),
    verifying_keys: Vec<(String, DecodingKey)>,
}

impl AccessTokens {
    /// Tokens are signed with the current key, and verified with the current key and the other keys.
    pub(crate) fn new(settings: &JwtSettings) -> Self {
        hmac_provider::install();
        let algorithm = match settings.algorithm {
            JwtAlgorithm::Hs256 => Algorithm::HS256,
            JwtAlgorithm::Hs384 => Algorithm::HS384,
            JwtAlgorithm::Hs512 => Algorithm::HS512,
        };
        let bytes = |secret: &SecretString| secret.expose_secret().as_bytes().to_vec();
        let current = bytes(&settings.secret_key);
        let all = std::iter::once(current.clone()).chain(settings.other_keys.iter().map(bytes));
        Self {
            algorithm,
            lifetime: settings.lifetime,
            signing_key: (key_id(&current), EncodingKey::from_secret(&current)),
            verifying_keys: all.map(|key| (key_id(&key), DecodingKey::from_secret(&key))).collect(),
        }
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(crate) fn issue(&self, user: UserId, session: SessionId) -> String {
        self.issue_for(user, session, self.lifetime)
    }

    pub(crate) fn issue_for(&self, user: UserId, session: SessionId, lifetime: Duration) -> String {
        let now = Utc::now().timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            sid: session,
            iat: now,
            exp: now.saturating_add_unsigned(lifetime.as_secs()),
        };
        let (id, key) = &self.signing_key;
        let mut header = Header::new(self.algorithm);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(id.clone());
        encode(&header, &claims, key)
            .expect("the key fits the algorithm, and claims are valid JSON")
    }

    /// Accepts only the configured algorithm, regardless of the token's header.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.typ.as_deref() != Some(TYPE) || header.alg != self.algorithm {
            return Err(TokenError::Invalid);
        }
        let id = header.kid.ok_or(TokenError::Invalid)?;
        let (_, key) = self
            .verifying_keys
            .iter()
            .find(|(known, _)| *known == id)
            .ok_or(TokenError::Invalid)?;
        let mut rules = Validation::new(self.algorithm);
        rules.leeway = 0;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        match decode::<Claims>(token, key, &rules) {
            Ok(verified) => Ok(verified.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                rules.validate_exp = false;
                let expired = decode::<Claims>(token, key, &rules);
                Err(expired.map_or(TokenError::Invalid, |late| TokenError::Expired(late.claims)))
            }
            Err(_) => Err(TokenError::Invalid),
        }
    }
}

/// Returns an id that does not reveal the key.
fn key_id(key: &[u8]) -> String {
    let mut name = Sha256::of(&[b"diagflow jwt key v1:".as_slice(), key].concat()).to_string();
    name.truncate(KEY_ID_LENGTH);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::{Value, json};

    fn signer(key: &str, others: &[&str]) -> AccessTokens {
        AccessTokens::new(&JwtSettings {
            secret_key: key.into(),
            other_keys: others.iter().map(|key| (*key).into()).collect(),
            algorithm: JwtAlgorithm::Hs256,
            lifetime: Duration::from_secs(900),
        })
    }

    fn part(value: &Value) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// Returns a token with this header and these claims, signed with HMAC-SHA512 for `HS512` and with HMAC-SHA256
    /// otherwise.
    fn forge(key: &str, head: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", part(head), part(claims));
        let tag = match head["alg"].as_str() {
            Some("HS512") => mac::<Hmac<sha2::Sha512>>(key, &text),
            _ => mac::<Hmac<sha2::Sha256>>(key, &text),
        };
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
    }

    fn mac<M: KeyInit + Mac>(key: &str, text: &str) -> Vec<u8> {
        let mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("a key");
        mac.chain_update(text).finalize().into_bytes().to_vec()
    }

    fn head() -> Value {
        json!({"alg": "HS256", "typ": TYPE, "kid": key_id(b"a key")})
    }

    fn claims() -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": UserId::new(), "sid": SessionId::new(),
            "iat": now, "exp": now + 60,
        })
    }

    #[test]
    fn a_token_signed_with_the_current_or_another_key_is_valid() {
        let (user, session) = (UserId::new(), SessionId::new());
        let token = signer("a key", &[]).issue(user, session);
        let verified = signer("a key", &[]).verify(&token).expect("verified");
        assert_eq!((verified.sub, verified.sid), (user, session));
        assert_eq!(verified.exp - verified.iat, 900);
        assert_eq!(signer("new", &["a key"]).verify(&token), Ok(verified));
        assert_eq!(signer("new", &["other"]).verify(&token), Err(TokenError::Invalid));
    }

    #[test]
    fn forged_tokens_are_invalid() {
        let signer = signer("a key", &[]);
        let check = |head: &Value, claims: &Value| signer.verify(&forge("a key", head, claims));
        assert!(
            check(&head(), &claims()).is_ok(),
            "a token with the expected header and claims is valid"
        );
        let with = |mut value: Value, name: &str, new: Value| {
            value[name] = new;
            value
        };
        for wrong in [
            with(head(), "typ", json!("JWT")),
            with(head(), "typ", Value::Null),
            with(head(), "alg", json!("HS512")),
            with(head(), "alg", json!("none")),
            with(head(), "kid", json!("another")),
            with(head(), "kid", Value::Null),
        ] {
            assert_eq!(check(&wrong, &claims()), Err(TokenError::Invalid), "{wrong}");
        }
        for wrong in [
            with(claims(), "iss", json!("another")),
            with(claims(), "aud", json!("another")),
            with(claims(), "sid", json!("no id")),
            with(claims(), "exp", Value::Null),
        ] {
            assert_eq!(check(&head(), &wrong), Err(TokenError::Invalid), "{wrong}");
        }
        let late = with(claims(), "exp", json!(Utc::now().timestamp() - 1));
        let expired = serde_json::from_value(late.clone()).expect("claims");
        assert_eq!(
            check(&head(), &late),
            Err(TokenError::Expired(expired)),
            "the claims of an expired token are returned"
        );
        let late_and_wrong = with(late, "aud", json!("another"));
        assert_eq!(check(&head(), &late_and_wrong), Err(TokenError::Invalid));
        assert_eq!(
            signer.verify(&forge("another key", &head(), &claims())),
            Err(TokenError::Invalid)
        );
        let unsigned =
            format!("{}.{}.", part(&with(head(), "alg", json!("none"))), part(&claims()));
        assert_eq!(signer.verify(&unsigned), Err(TokenError::Invalid));
        assert_eq!(signer.verify("nonsense"), Err(TokenError::Invalid));
    }
}

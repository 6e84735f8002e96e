//! Expired and forged access tokens in the format of `api/src/auth/jwt.rs`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::Sha256 as Digest;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

pub const JWT_KEY: &str = "a JWT key for tests, 32 characters or more";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// The token is correctly signed but expired.
    Expired,
    /// The token is signed with the wrong key but contains the real key's id.
    WrongKey,
    /// The token has `alg: none` and no signature.
    NoAlgorithm,
}

impl Forgery {
    pub const ALL: [Forgery; 3] = [Forgery::Expired, Forgery::WrongKey, Forgery::NoAlgorithm];

    /// Returns a copy of the valid token with this flaw.
    pub fn of(self, valid: &str) -> String {
        let mut parts = valid.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part));
        let mut part = || parts.next().expect("a part").expect("base64");
        let read = |bytes: Vec<u8>| -> Value { serde_json::from_slice(&bytes).expect("JSON") };
        let (mut head, mut claims) = (read(part()), read(part()));
        let name = Digest::of(format!("diagflow jwt key v1:{JWT_KEY}").as_bytes()).to_string();
        assert_eq!(head["kid"], name[..16], "the key id is derived from the key");
        let mut key = JWT_KEY;
        match self {
            Self::Expired => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
                claims["exp"] = json!(now.as_secs() - 1);
            }
            Self::WrongKey => key = "another key that signs nothing else, just as long",
            Self::NoAlgorithm => head["alg"] = json!("none"),
        }
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&head), encode(&claims));
        if self == Self::NoAlgorithm {
            return format!("{text}.");
        }
        let mac =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC accepts any key length");
        let seal = mac.chain_update(&text).finalize().into_bytes();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(seal))
    }

    /// Returns the error code that the API returns for this token.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::WrongKey | Self::NoAlgorithm => "token_invalid",
        }
    }
}

//! Keys for message authentication codes (HMAC-SHA256).

use crate::keyring::Keyring;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt;

/// Creates tags with the current key, and accepts tags created with any key of the keyring.
#[derive(Clone)]
pub struct MacKey {
    current: Hmac<Sha256>,
    others: Vec<Hmac<Sha256>>,
}

impl MacKey {
    /// Derives a key `HMAC(secret, purpose)` from each secret so that several purposes can share the same secrets.
    pub fn derive(secrets: &Keyring, purpose: &str) -> MacKey {
        let derive = |secret: &SecretString| {
            let secret = with_key(secret.expose_secret().as_bytes());
            with_key(&secret.chain_update(purpose).finalize().into_bytes())
        };
        MacKey {
            current: derive(secrets.current()),
            others: secrets.others().iter().map(derive).collect(),
        }
    }

    pub fn raw(secret: &str) -> MacKey {
        MacKey { current: with_key(secret.as_bytes()), others: Vec::new() }
    }

    /// If a message has several parts, the caller must encode them unambiguously.
    pub fn tag(&self, message: impl AsRef<[u8]>) -> [u8; 32] {
        self.current.clone().chain_update(message).finalize().into_bytes().into()
    }

    pub fn verify(&self, message: impl AsRef<[u8]>, tag: &[u8]) -> bool {
        let message = message.as_ref();
        let mut keys = std::iter::once(&self.current).chain(&self.others);
        keys.any(|key| key.clone().chain_update(message).verify_slice(tag).is_ok())
    }
}

fn with_key(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC accepts keys of any length")
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(secret: &str, purpose: &str) -> MacKey {
        MacKey::derive(&secret.into(), purpose)
    }

    #[test]
    fn a_tag_matches_the_output_of_openssl() {
        // KEY=$(printf 'a purpose' | openssl dgst -sha256 -hmac 'a secret' -r | cut -d' ' -f1)
        // printf 'a message' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY
        let expected = "df6f52e386015019bd592d0a00b962675c34610aef22c473394e15f327971620";
        assert_eq!(hex::encode(derive("a secret", "a purpose").tag("a message")), expected);
    }

    #[test]
    fn a_tag_is_valid_only_for_its_key_and_message() {
        let key = derive("a secret", "a purpose");
        let tag = key.tag("a message");
        assert!(key.verify("a message", &tag));
        assert!(!key.verify("another message", &tag));
        assert!(!derive("a secret", "another purpose").verify("a message", &tag));
        assert!(!derive("another secret", "a purpose").verify("a message", &tag));
        assert!(!key.verify("a message", &tag[1..]));
        assert!(!key.verify("a message", &[]));
    }

    #[test]
    fn tags_from_another_key_are_valid_but_new_tags_use_the_current_key() {
        let rotated = |others: &[&str]| {
            let others = others.iter().map(|secret| (*secret).into()).collect();
            MacKey::derive(&Keyring::new("new".into(), others), "a purpose")
        };
        let (old, new) = (derive("old", "a purpose"), derive("new", "a purpose"));

        let key = rotated(&["older", "old"]);

        assert!(key.verify("a message", &old.tag("a message")));
        assert_eq!(key.tag("a message"), new.tag("a message"));
        assert!(!key.verify("a message", &derive("old", "another purpose").tag("a message")));
        assert!(!rotated(&["older"]).verify("a message", &old.tag("a message")));
    }
}

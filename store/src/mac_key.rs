//! Keys for message authentication codes: HMAC-SHA256.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// The key is `HMAC(secret, purpose)`, so that several purposes can share one secret.
    pub fn derive(secret: &str, purpose: &str) -> MacKey {
        let derived = with_key(secret.as_bytes()).chain_update(purpose).finalize();
        MacKey(with_key(&derived.into_bytes()))
    }

    pub fn raw(secret: &str) -> MacKey {
        MacKey(with_key(secret.as_bytes()))
    }

    /// If a message consists of several parts, the caller must encode them so that different parts never result in the
    /// same message.
    pub fn tag(&self, message: impl AsRef<[u8]>) -> [u8; 32] {
        self.0.clone().chain_update(message).finalize().into_bytes().into()
    }

    pub fn verify(&self, message: impl AsRef<[u8]>, tag: &[u8]) -> bool {
        self.0.clone().chain_update(message).verify_slice(tag).is_ok()
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

    #[test]
    fn a_tag_follows_the_documented_formula() {
        // KEY=$(printf 'a purpose' | openssl dgst -sha256 -hmac 'a secret' -r | cut -d' ' -f1)
        // printf 'a message' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY
        let expected = "df6f52e386015019bd592d0a00b962675c34610aef22c473394e15f327971620";
        assert_eq!(hex::encode(MacKey::derive("a secret", "a purpose").tag("a message")), expected);
    }

    #[test]
    fn only_the_tag_of_the_same_key_and_message_verifies() {
        let key = MacKey::derive("a secret", "a purpose");
        let tag = key.tag("a message");
        assert!(key.verify("a message", &tag));
        assert!(!key.verify("another message", &tag));
        assert!(!MacKey::derive("a secret", "another purpose").verify("a message", &tag));
        assert!(!MacKey::derive("another secret", "a purpose").verify("a message", &tag));
        assert!(!key.verify("a message", &tag[1..]));
        assert!(!key.verify("a message", &[]));
    }
}

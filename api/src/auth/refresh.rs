//! Refresh tokens: `dfr_{session}_{text}`. The text is random and sign for its session, so that one of ours
//! is known for that also when it was used long ago; then two have it. Each is good for one use, and says
//! what its successor is: whoever lost the answer and asks again gets the same one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{SessionId, Sha256};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};

/// What every refresh token begins with, so that one that leaked is recognised.
const PREFIX: &str = "dfr_";
/// Bytes of randomness: 192 bits.
const RANDOM_BYTES: usize = 24;
/// Bound into every tag and every successor, so that the secret can derive other things without clashes.
const TAG_PURPOSE: &str = "diagflow refresh token v1:";
const NEXT_PURPOSE: &str = "diagflow next refresh token v1:";

/// Makes refresh tokens, and knows them again.
pub(crate) struct RefreshTokens(Hmac<sha2::Sha256>);

/// A refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    /// The session that it is of.
    pub(crate) session: SessionId,
    random: [u8; RANDOM_BYTES],
    text: String,
}

impl RefreshToken {
    /// What is given out, once.
    pub(crate) fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.session, self.text)
    }

    /// What is kept.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.text.as_bytes())
    }
}

impl RefreshTokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    fn mac(&self, purpose: &str, session: SessionId, random: &[u8]) -> Hmac<sha2::Sha256> {
        self.0.clone().chain_update(purpose).chain_update(session.to_string()).chain_update(random)
    }

    fn sign(&self, session: SessionId, random: [u8; RANDOM_BYTES]) -> RefreshToken {
        let tag = self.mac(TAG_PURPOSE, session, &random).finalize().into_bytes();
        let text = BASE64_URL_SAFE_NO_PAD.encode([random.as_slice(), tag.as_slice()].concat());
        RefreshToken { session, random, text }
    }

    /// The first token of a session.
    pub(crate) fn issue_first(&self, session: SessionId) -> RefreshToken {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        self.sign(session, random)
    }

    /// The token after this one.
    pub(crate) fn next(&self, token: &RefreshToken) -> RefreshToken {
        let derived = self.mac(NEXT_PURPOSE, token.session, &token.random).finalize().into_bytes();
        let mut random = [0; RANDOM_BYTES];
        random.copy_from_slice(&derived[..RANDOM_BYTES]);
        self.sign(token.session, random)
    }

    /// Reads a token; nothing, where it is none of ours.
    pub(crate) fn verify(&self, text: &str) -> Option<RefreshToken> {
        let (session, text) = text.trim().strip_prefix(PREFIX)?.split_once('_')?;
        let session: SessionId = session.parse().ok()?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, tag) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
        self.mac(TAG_PURPOSE, session, random).verify_slice(tag).ok()?;
        Some(RefreshToken { session, random: *random, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_verifies_and_has_one_successor() {
        let key = RefreshTokens::new(&"a key".into());
        let (one, other) = (SessionId::new(), SessionId::new());
        let first = key.issue_first(one);
        assert_eq!(key.verify(&first.reveal()), Some(first.clone()));
        assert_ne!(first, key.issue_first(one), "random");
        let next = key.next(&first);
        assert_eq!(next, key.next(&first), "whoever asks again gets the same");
        assert_ne!(next.digest(), first.digest());
        assert_eq!(key.verify(&next.reveal()), Some(next));
        let moved = first.reveal().replace(&one.to_string(), &other.to_string());
        assert_eq!(key.verify(&moved), None, "another session's");
        assert_eq!(RefreshTokens::new(&"another".into()).verify(&first.reveal()), None);
        for nonsense in ["", "dfr_", "dfr__", "dfk_x_y", &format!("dfr_{one}_AAAA")] {
            assert_eq!(key.verify(nonsense), None, "{nonsense}");
        }
    }
}

//! Refresh tokens: `dfr_{session}_{text}`. The text consists of random bytes and their MAC, which includes the session.
//! A token that we issued is therefore recognised even long after its use; its reuse means that two parties hold it.
//! Each token is valid for one use and determines its successor, so a client that did not receive the response and
//! repeats the request gets the same successor.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{MacKey, SessionId, Sha256};
use secrecy::{ExposeSecret, SecretString};

/// Lets scanners recognise a leaked token.
const PREFIX: &str = "dfr_";
/// 192 bits.
const RANDOM_BYTES: usize = 24;

pub(crate) struct RefreshTokens {
    tags: MacKey,
    successors: MacKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) session: SessionId,
    random: [u8; RANDOM_BYTES],
    text: String,
}

impl RefreshToken {
    pub(crate) fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.session, self.text)
    }

    /// Stored in the database instead of the token.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.text.as_bytes())
    }
}

impl RefreshTokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let derive = |purpose| MacKey::derive(secret.expose_secret(), purpose);
        Self {
            tags: derive("diagflow refresh token v1"),
            successors: derive("diagflow next refresh token v1"),
        }
    }

    pub(crate) fn issue_first(&self, session: SessionId) -> RefreshToken {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).expect("the operating system provides random numbers");
        self.issue(session, random)
    }

    pub(crate) fn next(&self, token: &RefreshToken) -> RefreshToken {
        let derived = self.successors.tag(message(token.session, &token.random));
        let random = *derived.first_chunk().expect("a tag is longer than the random part");
        self.issue(token.session, random)
    }

    fn issue(&self, session: SessionId, random: [u8; RANDOM_BYTES]) -> RefreshToken {
        let tag = self.tags.tag(message(session, &random));
        let text = BASE64_URL_SAFE_NO_PAD.encode([&random[..], &tag].concat());
        RefreshToken { session, random, text }
    }

    /// `None` if we did not issue the token.
    pub(crate) fn verify(&self, text: &str) -> Option<RefreshToken> {
        let (session, text) = text.trim().strip_prefix(PREFIX)?.split_once('_')?;
        let session: SessionId = session.parse().ok()?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, tag) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
        let is_ours = self.tags.verify(message(session, random), tag);
        is_ours.then(|| RefreshToken { session, random: *random, text: text.to_owned() })
    }
}

/// The encoding is unambiguous, because both parts have a fixed length.
fn message(session: SessionId, random: &[u8]) -> Vec<u8> {
    [session.to_string().as_bytes(), random].concat()
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
        assert_eq!(next, key.next(&first), "a repeated request gets the same token");
        assert_ne!(next.digest(), first.digest());
        assert_eq!(key.verify(&next.reveal()), Some(next));
        let swapped = first.reveal().replace(&one.to_string(), &other.to_string());
        assert_eq!(key.verify(&swapped), None, "another session");
        assert_eq!(RefreshTokens::new(&"another".into()).verify(&first.reveal()), None);
        for nonsense in ["", "dfr_", "dfr__", "dfk_x_y", &format!("dfr_{one}_AAAA")] {
            assert_eq!(key.verify(nonsense), None, "{nonsense}");
        }
    }
}

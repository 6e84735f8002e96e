//! Refresh tokens have the form `dfr_{session}_{text}`. The text consists of random bytes and a MAC over the session
//! and these bytes, so any token that we issued is recognised, even long after it was used. Each token can be used only
//! once; reuse at a later time means that two parties hold the token. A token determines its successor, so a client
//! that lost the response and repeats the request receives the same successor.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{Keyring, MacKey, SessionId, Sha256};

/// Prefix by which secret scanners recognise a leaked token.
const PREFIX: &str = "dfr_";
/// Number of random bytes in a token (192 bits).
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

    /// Returns the digest that the database stores instead of the token.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.text.as_bytes())
    }
}

impl RefreshTokens {
    pub(crate) fn new(secrets: &Keyring) -> Self {
        let derive = |purpose| MacKey::derive(secrets, purpose);
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

    /// Returns `None` if we did not issue the token.
    pub(crate) fn verify(&self, text: &str) -> Option<RefreshToken> {
        let (session, text) = text.trim().strip_prefix(PREFIX)?.split_once('_')?;
        let session: SessionId = session.parse().ok()?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, tag) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
        let is_ours = self.tags.verify(message(session, random), tag);
        is_ours.then(|| RefreshToken { session, random: *random, text: text.to_owned() })
    }
}

/// The encoding is unambiguous, because both parts have fixed lengths.
fn message(session: SessionId, random: &[u8]) -> Vec<u8> {
    [session.to_string().as_bytes(), random].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_and_has_exactly_one_successor() {
        let key = RefreshTokens::new(&"a key".into());
        let (one, other) = (SessionId::new(), SessionId::new());
        let first = key.issue_first(one);
        assert_eq!(key.verify(&first.reveal()), Some(first.clone()));
        assert_ne!(first, key.issue_first(one), "tokens are random");
        let next = key.next(&first);
        assert_eq!(next, key.next(&first), "a repeated request receives the same token");
        assert_ne!(next.digest(), first.digest());
        assert_eq!(key.verify(&next.reveal()), Some(next));
        let swapped = first.reveal().replace(&one.to_string(), &other.to_string());
        assert_eq!(key.verify(&swapped), None, "a token is bound to its session");
        assert_eq!(RefreshTokens::new(&"another".into()).verify(&first.reveal()), None);
        for nonsense in ["", "dfr_", "dfr__", "dfk_x_y", &format!("dfr_{one}_AAAA")] {
            assert_eq!(key.verify(nonsense), None, "{nonsense}");
        }
    }
}

//! Record ids. Each kind of id has its own type so that one kind cannot be passed in place of another.

use crate::db::sql_text::stored_as_text;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, AsExpression,
            FromSqlRow,
        )]
        #[diesel(sql_type = Text)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates a random UUID (version 4), which cannot be guessed and does not reveal how many ids exist.
            #[expect(clippy::new_without_default, reason = "a random default would be surprising")]
            pub fn new() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            /// Accepts only the canonical form (lower case, with hyphens) so that every id has exactly one spelling.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Self(Uuid::try_parse(text)?);
                if id.to_string() == text { Ok(id) } else { Uuid::try_parse("").map(Self) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        stored_as_text!($name);
    };
}

random_id!(SubmissionId);
random_id!(FileId);
random_id!(
    /// Id of a delivery. The Message-ID of its e-mail is derived from this id.
    DeliveryId
);

random_id!(UserId);
random_id!(SessionId);
random_id!(ApiKeyId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunKey {
    pub submission: SubmissionId,
    /// Number of the run within its submission, starting at 1.
    pub number: i32,
}

impl RunKey {
    pub fn first(submission: SubmissionId) -> Self {
        Self { submission, number: FIRST_RUN }
    }
}

pub(crate) const FIRST_RUN: i32 = 1;

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }

    pub(crate) fn first_byte(self) -> u8 {
        self.0[0]
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for Sha256 {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)?;
        Ok(Self(digest))
    }
}

stored_as_text!(Sha256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = SubmissionId::new();
        assert_eq!(id.to_string().parse::<SubmissionId>().expect("canonical"), id);
        assert!(id.to_string().to_uppercase().parse::<SubmissionId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<SubmissionId>().is_err());
    }

    #[test]
    fn a_digest_matches_the_example_in_the_standard() {
        // Example from FIPS 180-2, appendix B.1.
        assert_eq!(
            Sha256::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

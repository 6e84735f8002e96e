//! Validated e-mail addresses.

use crate::db::sql_text::stored_as_text;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use email_address::Options;
use std::fmt;
use std::str::FromStr;

/// In bytes (RFC 5321, 4.5.3.1.3, erratum 1690).
pub const MAX_EMAIL_LENGTH: usize = 254;

/// `Debug` hides the address, so that it is not logged by accident.
#[derive(Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);

impl EmailAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmailAddress;

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;
    /// Accepts `local@domain.tld`: no display name, no quoted local part, no host without a dot, at most 254 bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let options =
            Options::default().with_required_tld().without_display_text().without_domain_literal();
        let quoted = text.starts_with('"');
        if text.len() > MAX_EMAIL_LENGTH || quoted || text.contains(char::is_control) {
            return Err(InvalidEmailAddress);
        }
        email_address::EmailAddress::parse_with_options(text, options)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| InvalidEmailAddress)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

stored_as_text!(EmailAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_addresses_are_accepted() {
        for good in ["a@b.de", "me+x@example.org", "Ünï@exämple.org", " padded@example.org "] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in [
            "",
            "me",
            "me@",
            "@x.org",
            "me@host",
            "a b@x.org",
            "Me <me@x.org>",
            "me@x.org\n",
            &long,
        ] {
            // A trailing line break is trimmed; everything else must be rejected.
            assert_eq!(bad.parse::<EmailAddress>().is_ok(), bad == "me@x.org\n", "{bad:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address: EmailAddress = "me@example.org".parse().expect("valid");
        assert!(!format!("{address:?}").contains("example"));
    }
}

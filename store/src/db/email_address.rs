//! E-mail addresses. Every address accepted here can be used in an SMTP envelope.

use crate::db::ids::Sha256;
use crate::db::typed_text::{is_joiner, without_artefacts};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Maximum length of an address in bytes (RFC 5321, 4.5.3.1.3, erratum 1690).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// Maximum length in bytes before invisible characters are removed.
const MAX_TYPED_LENGTH: usize = 4 * MAX_EMAIL_LENGTH;
/// Maximum length of a local part in bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_PART_LENGTH: usize = 64;

/// A normalized address: composed (NFC), without invisible characters or full-width letters, and with the domain in
/// lower-case Unicode. `Debug` hides the address so it cannot be logged by accident.
///
/// An address read from the database is not validated again because rows from earlier versions must remain readable.
/// [`Self::envelope_parts`] validates the address before an e-mail is sent.
#[derive(Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address stored for every erased submission. No mailbox can have this address (RFC 2606, section 2).
    pub(crate) fn erased() -> Self {
        Self("erased@erased.invalid".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// Returns the local part, and the domain in ASCII (RFC 5891) so that only the local part can require SMTPUTF8.
    /// Fails if an earlier version stored an address that this version does not accept.
    pub fn envelope_parts(&self) -> Result<(String, String), InvalidEmailAddress> {
        let valid: Self = self.0.parse()?;
        let (local, domain) = valid.parts();
        let domain = to_ascii(domain).ok_or(InvalidEmailAddress)?;
        Ok((local.to_owned(), domain.into_owned()))
    }

    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part().is_ascii()
    }

    /// Returns a digest that identifies the mailbox. The digest ignores case and tags (`ana+tag@example.org`, RFC 5233)
    /// because nearly all mail servers do. For Gmail addresses, it also ignores dots and treats both Gmail domains as
    /// the same.
    pub(crate) fn recipient(&self) -> Sha256 {
        let (local, domain) = self.parts();
        let without_tag = match local.split_once('+') {
            Some((user, _)) if !user.is_empty() => user,
            _ => local,
        };
        let mailbox = match domain {
            "gmail.com" | "googlemail.com" => format!("{}@gmail.com", without_tag.replace('.', "")),
            _ => format!("{without_tag}@{domain}"),
        };
        Sha256::of(mailbox.to_lowercase().as_bytes())
    }

    fn parts(&self) -> (&str, &str) {
        // An address stored by an earlier version may not contain `@`.
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmailAddress;

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    /// Accepts only `local@domain.tld`: no display name, no quoted local part, no IP address, and no host without a
    /// dot.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TYPED_LENGTH {
            return Err(InvalidEmailAddress);
        }
        let text = without_artefacts(text);
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmailAddress)?;
        let ascii = to_ascii(domain).ok_or(InvalidEmailAddress)?;
        if !is_local_part(local) || !has_top_level_domain(&ascii) {
            return Err(InvalidEmailAddress);
        }
        let (unicode, _) = Uts46::new().to_unicode(ascii.as_bytes(), DENIED, HYPHENS);
        let address = format!("{local}@{unicode}");
        let longest = address.len().max(local.len() + 1 + ascii.len());
        if longest > MAX_EMAIL_LENGTH { Err(InvalidEmailAddress) } else { Ok(Self(address)) }
    }
}

/// A domain may contain only letters, digits and hyphens (RFC 5321, 4.1.2).
const DENIED: AsciiDenyList = AsciiDenyList::STD3;
/// Hyphens in the third and fourth positions are reserved, but some domains have them.
const HYPHENS: Hyphens = Hyphens::CheckFirstLast;

fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    Uts46::new().to_ascii(domain.as_bytes(), DENIED, HYPHENS, DnsLength::Verify).ok()
}

/// Top-level domains that will never be in the DNS (RFC 6761, 7686 and 9476). `example` and `test` are also reserved,
/// but documentation and tests use them. `local` may exist on a clinic's network.
const NOT_IN_DNS: [&str; 4] = ["alt", "invalid", "localhost", "onion"];

/// Whether the last label can be a top-level domain, which consists of letters or Punycode (RFC 3696, section 2).
fn has_top_level_domain(ascii_domain: &str) -> bool {
    ascii_domain.rsplit_once('.').is_some_and(|(_, last)| {
        last.len() >= 2
            && (last.starts_with("xn--") || last.bytes().all(|byte| byte.is_ascii_alphabetic()))
            && !NOT_IN_DNS.contains(&last)
    })
}

/// Whether the text is a dot-atom (RFC 5322, 3.2.3) of characters allowed by RFC 6531, 3.3.
fn is_local_part(text: &str) -> bool {
    text.len() <= MAX_LOCAL_PART_LENGTH
        && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_text))
}

/// RFC 6531 allows all non-ASCII characters. Whitespace, invisible characters and unassigned characters are rejected
/// because they can only be mistakes.
fn is_atom_text(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character);
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    is_joiner(character)
        || !matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::SpaceSeparator
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
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

impl ToSql<Text, Mysql> for EmailAddress {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <str as ToSql<Text, Mysql>>::to_sql(&self.0, out)
    }
}

impl FromSql<Text, Mysql> for EmailAddress {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        <String as FromSql<Text, Mysql>>::from_sql(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        text.parse::<EmailAddress>().ok().map(|it| it.to_string())
    }

    #[test]
    fn addresses_in_all_scripts_are_accepted_and_normalized() {
        for (text, expected) in [
            ("a@b.de", "a@b.de"),
            ("o'brien+clinic@example.org", "o'brien+clinic@example.org"),
            ("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"),
            ("1@123.example", "1@123.example"),
            ("me@ab--cd.example", "me@ab--cd.example"),
            (" padded@example.org\r\n", "padded@example.org"),
            ("Me@Example.ORG", "Me@example.org"),
            ("Ünï@exämple.org", "Ünï@exämple.org"),
            ("me@straße.example", "me@straße.example"),
            ("संपर्क@डाटामेल.भारत", "संपर्क@डाटामेल.भारत"),
            ("ติดต่อ@ตัวอย่าง.ไทย", "ติดต่อ@ตัวอย่าง.ไทย"),
            ("我買@屋企.香港", "我買@屋企.香港"),
            ("علي@مثال.إختبار", "علي@مثال.إختبار"),
            ("jose\u{301}@example.org", "josé@example.org"),
            ("me@bu\u{308}cher.example", "me@bücher.example"),
            ("me@xn--bcher-kva.example", "me@bücher.example"),
            ("me@例え。jp", "me@例え.jp"),
            ("me@نامه\u{200C}ای.com", "me@نامه\u{200C}ای.com"),
            ("\u{200B}me@example.org\u{202C}", "me@example.org"),
            ("\u{FEFF}m\u{AD}e@exam\u{200D}ple.org", "me@example.org"),
            ("ｍｅ＠ｅｘａｍｐｌｅ．ｏｒｇ", "me@example.org"),
            ("me＠example.org", "me@example.org"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
            assert_eq!(parse(expected).as_deref(), Some(expected), "stored as {expected}");
        }
    }

    #[test]
    fn addresses_that_cannot_receive_email_are_rejected() {
        let long_local_part = format!("{}@example.org", "a".repeat(65));
        let long_domain = format!("me@{}org", "abcdefghi.".repeat(26));
        let long_label = format!("me@{}.org", "a".repeat(64));
        // This label is 63 bytes long in Unicode and 66 bytes long in ASCII.
        let long_ascii_label = "me@一龍鼠乙鬱水中馬口大鹿山川鳥人木魚火土日月.example";
        let long_text = format!("{}me@example.org", "\u{200B}".repeat(1000));
        for text in [
            "",
            "me",
            "me@",
            "@x.org",
            "me@host",
            "a b@x.org",
            "Me <me@x.org>",
            "<me@x.org>",
            "mailto:me@x.org",
            "\"me\"@x.org",
            "me@x@y.org",
            ".me@x.org",
            "me.@x.org",
            "m..e@x.org",
            "m\u{0}e@x.org",
            "m\ne@x.org",
            "m\u{85}e@x.org",
            "m\u{A0}e@x.org",
            "m\u{2028}e@x.org",
            "m\u{E000}e@x.org",
            "m\u{FFFF}e@x.org",
            "m\u{FFF9}e@x.org",
            "me@127.0.0.1",
            "me@[127.0.0.1]",
            "me@exa!mple.org",
            "me@exam/ple.org",
            "me@exam_ple.org",
            "me@ex^ample.örg",
            "me@example.123",
            "me@example.c",
            "me@example.c0m",
            "me@example.org.",
            "me@example..org",
            "me@.example.org",
            "me@-example.org",
            "me@example-.org",
            "me@אa.example",
            "me@x.invalid",
            "me@x.LOCALHOST",
            "me@x.onion",
            "me@x.alt",
            "me@xn--zzzzzzzz.example",
            "me@\u{301}example.org",
            &long_local_part,
            &long_domain,
            &long_label,
            &long_text,
            long_ascii_label,
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_of_the_maximum_length_is_accepted() {
        let domain = format!("{}.{}.{}.example", "a".repeat(63), "b".repeat(63), "c".repeat(53));
        let longest = format!("{}@{domain}", "m".repeat(64));
        assert_eq!(longest.len(), MAX_EMAIL_LENGTH);
        assert_eq!(parse(&longest), Some(longest.clone()));
        assert_eq!(parse(&format!("{}@a{domain}", "m".repeat(64))), None, "a 64-byte label");
        assert_eq!(parse(&longest.replace("ccc", "cccc")), None, "a 255-byte address");
    }

    #[test]
    fn only_a_non_ascii_local_part_requires_smtputf8() {
        let address: EmailAddress = "me@bücher.example".parse().expect("valid");
        let parts = address.envelope_parts().expect("valid");
        assert_eq!(parts, ("me".to_owned(), "xn--bcher-kva.example".to_owned()));
        assert!(!address.needs_smtputf8());
        let address: EmailAddress = "josé@example.org".parse().expect("valid");
        assert_eq!((address.local_part(), address.needs_smtputf8()), ("josé", true));
    }

    #[test]
    fn addresses_of_the_same_mailbox_have_the_same_recipient() {
        let recipient = |text: &str| text.parse::<EmailAddress>().expect(text).recipient();
        for (one, other, is_same) in [
            ("Ana@example.org", "ana@EXAMPLE.org", true),
            ("JOSÉ@example.org", "jose\u{301}@example.org", true),
            ("ana@bücher.example", "ana@xn--bcher-kva.example", true),
            ("ana+one@example.org", "ana+two+three@example.org", true),
            ("ana+one@example.org", "ana@example.org", true),
            ("+49301@example.org", "+49302@example.org", false),
            ("ana@example.org", "ana@example.com", false),
            ("jose@example.org", "josé@example.org", false),
            ("ana@bücher.example", "ana@bucher.example", false),
            ("a.na.b@gmail.com", "Anab+tag@gmail.com", true),
            ("anab@googlemail.com", "an.ab@gmail.com", true),
            ("a.na@example.org", "ana@example.org", false),
            ("ana@mail.gmail.com", "a.na@mail.gmail.com", false),
        ] {
            assert_eq!(recipient(one) == recipient(other), is_same, "{one} and {other}");
        }
    }

    #[test]
    fn a_stored_address_is_not_validated_until_an_email_is_sent() {
        for text in ["me@127.0.0.1", "me@x.onion", "m\ne@example.org", "nobody", ""] {
            let stored = EmailAddress(text.to_owned());
            assert_eq!(stored.to_string(), text);
            assert_eq!(stored.envelope_parts(), Err(InvalidEmailAddress), "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address: EmailAddress = "me@example.org".parse().expect("valid");
        assert!(!format!("{address:?}").contains("example"));
    }
}

//! Validated e-mail addresses. Every address that is accepted here can be written into an SMTP envelope.

use crate::db::ids::Sha256;
use crate::db::sql_text::stored_as_text;
use crate::db::typed_text::{is_joiner, without_artefacts};
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// In bytes (RFC 5321, 4.5.3.1.3, erratum 1690).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// In bytes, before invisible characters are removed.
const MAX_TYPED_LENGTH: usize = 4 * MAX_EMAIL_LENGTH;
/// In bytes (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_PART_LENGTH: usize = 64;

/// Normalized: without invisible characters and full-width letters, composed (NFC), the domain in lower case and
/// Unicode. `Debug` hides the address, so that it is not logged by accident.
#[derive(Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);

impl EmailAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn local_part(&self) -> &str {
        self.parts().0
    }

    /// The domain in ASCII (RFC 5891), so that only a local part can need SMTPUTF8.
    pub fn ascii_domain(&self) -> Cow<'_, str> {
        to_ascii(self.parts().1).expect("the domain was checked when the address was parsed")
    }

    /// Whether only a mail server with SMTPUTF8 (RFC 6531) can send e-mails to this address.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part().is_ascii()
    }

    /// Identifies the mailbox. Ignores upper and lower case, and a tag (`ana+tag@example.org`, RFC 5233), because
    /// nearly all mail servers ignore them.
    pub(crate) fn recipient(&self) -> Sha256 {
        let (local, domain) = self.parts();
        let without_tag = match local.split_once('+') {
            Some((user, _)) if !user.is_empty() => user,
            _ => local,
        };
        Sha256::of(format!("{without_tag}@{domain}").to_lowercase().as_bytes())
    }

    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once('@').expect("checked when the address was parsed")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmailAddress;

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    /// Accepts `local@domain.tld`: no display name, no quoted local part, no host without a dot, no IP address.
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

/// Only letters, digits and hyphens (RFC 5321, 4.1.2).
const DENIED: AsciiDenyList = AsciiDenyList::STD3;
/// Hyphens in the third and fourth position are reserved, but exist.
const HYPHENS: Hyphens = Hyphens::CheckFirstLast;

fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    Uts46::new().to_ascii(domain.as_bytes(), DENIED, HYPHENS, DnsLength::Verify).ok()
}

/// Whether the last label can be a top-level domain: letters, or Punycode (RFC 3696, section 2).
fn has_top_level_domain(ascii_domain: &str) -> bool {
    ascii_domain.rsplit_once('.').is_some_and(|(_, last)| {
        last.len() >= 2
            && (last.starts_with("xn--") || last.bytes().all(|byte| byte.is_ascii_alphabetic()))
    })
}

/// A dot-atom (RFC 5322, 3.2.3) with the characters of RFC 6531, 3.3.
fn is_local_part(text: &str) -> bool {
    text.len() <= MAX_LOCAL_PART_LENGTH
        && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_text))
}

/// RFC 6531 allows every character beyond ASCII. White space, and characters without a visible form or without a
/// meaning, are certainly errors.
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

stored_as_text!(EmailAddress);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        text.parse::<EmailAddress>().ok().map(|it| it.to_string())
    }

    #[test]
    fn addresses_of_all_scripts_are_accepted_and_normalized() {
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
        // This label has 63 bytes in Unicode, and 66 in ASCII.
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
    fn the_longest_address_is_accepted() {
        let domain = format!("{}.{}.{}.example", "a".repeat(63), "b".repeat(63), "c".repeat(53));
        let longest = format!("{}@{domain}", "m".repeat(64));
        assert_eq!(longest.len(), MAX_EMAIL_LENGTH);
        assert_eq!(parse(&longest), Some(longest.clone()));
        assert_eq!(parse(&format!("{}@a{domain}", "m".repeat(64))), None, "a long label");
        assert_eq!(parse(&longest.replace("ccc", "cccc")), None, "255 bytes");
    }

    #[test]
    fn only_a_local_part_needs_smtputf8() {
        let address: EmailAddress = "me@bücher.example".parse().expect("valid");
        assert_eq!(address.ascii_domain(), "xn--bcher-kva.example");
        assert!(!address.needs_smtputf8());
        let address: EmailAddress = "josé@example.org".parse().expect("valid");
        assert_eq!((address.local_part(), address.needs_smtputf8()), ("josé", true));
    }

    #[test]
    fn addresses_of_one_mailbox_have_the_same_recipient() {
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
        ] {
            assert_eq!(recipient(one) == recipient(other), is_same, "{one} and {other}");
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address: EmailAddress = "me@example.org".parse().expect("valid");
        assert!(!format!("{address:?}").contains("example"));
    }
}

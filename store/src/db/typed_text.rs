//! Removes characters that keyboards and copied text add to an address without the user noticing.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, JoiningType};
use icu_properties::{CodePointMapData, CodePointSetData};

const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';
/// Canonical combining class of viramas, which join consonants in Indic scripts.
const VIRAMA: u8 = 9;

/// Removes invisible characters and surrounding white space, converts full-width letters, and composes accents (NFC).
pub(crate) fn without_artefacts(text: &str) -> String {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let visible = text.chars().filter(|it| is_joiner(*it) || !ignorable.contains(*it));
    let mut text = composed(visible.map(half_width).collect());
    loop {
        // Once a joiner is removed, the characters around it may compose.
        let shorter = composed(without_joiners(&text));
        if shorter == text {
            return text.trim().to_owned();
        }
        text = shorter;
    }
}

fn composed(text: String) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned()
}

fn without_joiners(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let is_retained = |index: &usize| {
        let (before, after) = (&characters[..*index], &characters[*index + 1..]);
        !is_joiner(characters[*index]) || joiner_has_meaning(characters[*index], before, after)
    };
    (0..characters.len()).filter(is_retained).map(|index| characters[index]).collect()
}

pub(crate) fn is_joiner(character: char) -> bool {
    matches!(character, NON_JOINER | JOINER)
}

/// Converts full-width forms of ASCII characters (Unicode block "Halfwidth and Fullwidth Forms") and the ideographic
/// full stop, which East Asian keyboards produce.
fn half_width(character: char) -> char {
    const OFFSET: u32 = '！' as u32 - '!' as u32;
    match character {
        '！'..='～' => char::from_u32(character as u32 - OFFSET).unwrap_or(character),
        '。' | '｡' => '.',
        _ => character,
    }
}

/// Whether a joiner distinguishes two words (RFC 5892, appendix A.1 and A.2). Some words in Persian and Indian
/// languages cannot be written without a joiner, and a domain without the joiner is a different domain.
fn joiner_has_meaning(joiner: char, before: &[char], after: &[char]) -> bool {
    let Some(previous) = before.last() else { return false };
    if CanonicalCombiningClassMapBorrowed::new().get_u8(*previous) == VIRAMA {
        return true;
    }
    let joining_type = CodePointMapData::<JoiningType>::new();
    let type_of = |character: &char| joining_type.get(*character);
    let is_visible = |joining: &JoiningType| *joining != JoiningType::Transparent;
    let previous = before.iter().rev().map(type_of).find(is_visible);
    let next = after.iter().map(type_of).find(is_visible);
    joiner == NON_JOINER
        && matches!(previous, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(next, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        for (text, expected) in [
            ("\u{200B}me\u{202C}", "me"),
            ("\u{FEFF}m\u{AD}e", "me"),
            ("\u{202E}me\u{2066}\u{2069}", "me"),
            ("me\u{FE0F}\u{E0020}\u{E0100}\u{3164}\u{34F}", "me"),
            ("m\u{200D}e\u{200C}", "me"),
            ("\u{200C}", ""),
            (" \u{3000}me\r\n\u{200E} ", "me"),
        ] {
            assert_eq!(without_artefacts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn full_width_letters_and_decomposed_accents_are_converted() {
        assert_eq!(without_artefacts("Ｍｅ＋１＠ｅｘａｍｐｌｅ．ｏｒｇ"), "Me+1@example.org");
        assert_eq!(without_artefacts("例。jp｡"), "例.jp.");
        assert_eq!(without_artefacts("jose\u{301}"), "josé");
        assert_eq!(
            without_artefacts("ガ\u{309A}カ\u{3099}"),
            "ガ\u{309A}ガ",
            "not every mark composes"
        );
    }

    #[test]
    fn joiners_that_distinguish_words_are_retained() {
        for text in ["نامه\u{200C}ای", "ශ\u{0DCA}\u{200D}රී", "क\u{094D}\u{200C}ष"]
        {
            assert_eq!(without_artefacts(text), text, "{text:?}");
        }
        assert_eq!(without_artefacts("نامه\u{200D}ای"), "نامهای");
        assert_eq!(without_artefacts("例\u{200C}え"), "例え");
        // Canonical ordering moves a different sign before the joiner, so the joiner is removed.
        assert_eq!(without_artefacts("\u{2DEA}\u{1714}\u{200D}"), "\u{1714}\u{2DEA}");
    }
}

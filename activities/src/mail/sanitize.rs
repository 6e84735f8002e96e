//! Makes a text harmless that a stranger may have influenced: without addresses that a mail program turns into links,
//! without control characters, and without invisible characters, which can reorder or hide text.

use super::image_name::{PREFIX, leading_image_number};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

const REMOVED: &str = "[link removed]";
const ZERO_WIDTH_JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// Removes what is harmful from a text of several lines. At most one empty line remains between two lines.
pub(super) fn paragraphs(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in visible(text).lines().map(without_addresses) {
        if !(line.is_empty() && lines.last().is_none_or(String::is_empty)) {
            lines.push(line);
        }
    }
    lines.join("\n").trim_end().to_owned()
}

/// Removes what is harmful, and joins all lines.
pub(super) fn line(text: &str) -> String {
    without_addresses(&visible(text))
}

/// Removes characters that are not visible. Line breaks become `\n`, other white space becomes a space.
fn visible(text: &str) -> String {
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let text = text.replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let before = shown.chars().next_back();
        match character {
            '\r' | '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                shown.push('\n')
            }
            // The braille blank is visible according to Unicode.
            '\u{2800}' => shown.push(' '),
            _ if character.is_whitespace() => shown.push(' '),
            // Interlinear annotations: Unicode does not allow them in plain text.
            _ if character.is_control() || ('\u{fff9}'..='\u{fffb}').contains(&character) => {}
            // Several scripts, such as Persian and Hindi, and emoji need them.
            _ if ZERO_WIDTH_JOINERS.contains(&character) => {
                let after = characters.peek().copied().filter(|next| !invisible.contains(*next));
                if [before, after].into_iter().all(|it| it.is_some_and(is_joined)) {
                    shown.push(character);
                }
            }
            // Variation selectors choose between the text and the emoji form of the character before.
            '\u{fe0e}' | '\u{fe0f}' if before.is_some_and(is_joined) => shown.push(character),
            _ if invisible.contains(character) => {}
            _ => shown.push(character),
        }
    }
    shown
}

fn is_joined(character: char) -> bool {
    !character.is_ascii() && !character.is_whitespace() && as_ascii(character).is_none()
}

/// Replaces each word that contains an address, and the names of images. Words are separated by single spaces.
fn without_addresses(line: &str) -> String {
    let words = line.split_whitespace().flat_map(sentence_ends);
    words.map(harmless_word).collect::<Vec<_>>().join(" ")
}

fn harmless_word(word: &str) -> String {
    const OPENING: &[char] = &['(', '[', '{', '<', '"', '\'', '“', '„', '‘', '«', '»', '*', '_'];
    const CLOSING: &[char] = &[
        ')', ']', '}', '>', '"', '\'', '”', '“', '’', '»', '«', '*', '_', '.', ',', ';', ':', '!',
        '?',
    ];
    let word = with_image_numbers(word);
    if !contains_address(&word) {
        return word;
    }
    let core = word.trim_start_matches(OPENING);
    let opening = &word[..word.len() - core.len()];
    let closing = &core[core.trim_end_matches(CLOSING).len()..];
    format!("{opening}{REMOVED}{closing}")
}

/// Splits a word that consists of the end and the beginning of two sentences without a space between them, such as
/// `benign.The`. Otherwise it would be taken for a domain.
fn sentence_ends(word: &str) -> impl Iterator<Item = &str> {
    let split_at = word.find('.').map(|dot| dot + 1).filter(|next| {
        let (end, beginning) = word.split_at(*next);
        let end = end.trim_end_matches('.');
        let mut letters = beginning.chars();
        !end.is_empty()
            && end.chars().all(|it| it.is_lowercase() || it.is_numeric())
            && letters.next().is_some_and(char::is_uppercase)
            && letters.next().is_some_and(char::is_lowercase)
            && beginning.chars().all(|it| it.is_alphabetic() || ",;!?".contains(it))
    });
    let (end, beginning) = split_at.map_or((word, None), |at| (&word[..at], Some(&word[at..])));
    std::iter::once(end).chain(beginning)
}

/// Replaces `image-2.jpg` by `image 2`, because the patient does not know this name. Parts of addresses are not replaced.
fn with_image_numbers(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find(PREFIX) {
        let (before, name) = rest.split_at(start);
        text.push_str(before);
        let is_attached = text.ends_with(is_address_char);
        match leading_image_number(name) {
            Some((number, after)) if !is_attached && !continues_address(after) => {
                text.push_str(&format!("image {number}"));
                rest = after;
            }
            _ => {
                text.push_str(PREFIX);
                rest = &name[PREFIX.len()..];
            }
        }
    }
    text + rest
}

fn is_address_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_./\\@:?=&#%".contains(character)
}

fn continues_address(text: &str) -> bool {
    // After punctuation, only a further character shows that the address goes on.
    text.trim_start_matches(['.', ':', '?']).starts_with(is_address_char)
}

/// Whether a mail program may turn a part of this word into a link. Unlike the parsers of links in mail programs, this
/// does not depend on a list of top-level domains.
fn contains_address(word: &str) -> bool {
    let word = ascii_forms(word);
    let is_email = |at: usize| {
        word[..at].ends_with(is_local_part_char) && word[at + 1..].starts_with(is_host_char)
    };
    word.contains("://")
        // A path in a network of Windows computers.
        || word.contains("\\\\")
        || word.match_indices('@').any(|(at, _)| is_email(at))
        || word.split(|it| !is_host_char(it)).flat_map(|run| run.split("..")).any(is_host)
}

fn is_local_part_char(character: char) -> bool {
    !character.is_whitespace() && !"()<>[]:;@\\,\"".contains(character)
}

fn is_host_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character) || !character.is_ascii()
}

/// Whether this is a domain or an IPv4 address, possibly with dots around it.
fn is_host(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').filter(|label| !label.is_empty()).collect();
    let is_address = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let can_be_top_level = |label: &&str| {
        let mut letters = label.chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.next().is_some()
    };
    is_address || (labels.len() > 1 && labels.last().is_some_and(can_be_top_level))
}

/// Replaces the characters that browsers treat as ASCII in addresses. The ideographic full stop also ends sentences, so
/// it counts only between Latin letters or digits.
fn ascii_forms(word: &str) -> String {
    let characters: Vec<char> = word.chars().collect();
    let is_latin = |at: Option<&char>| {
        at.is_some_and(|it| as_ascii(*it).unwrap_or(*it).is_ascii_alphanumeric())
    };
    let ascii = characters.iter().enumerate().map(|(index, character)| match character {
        '。' | '｡'
            if index > 0
                && is_latin(characters.get(index - 1))
                && is_latin(characters.get(index + 1)) =>
        {
            '.'
        }
        other => as_ascii(*other).unwrap_or(*other),
    });
    ascii.collect()
}

/// The ASCII character of a full-width form (Unicode block "Halfwidth and Fullwidth Forms") or of a one dot leader.
fn as_ascii(character: char) -> Option<char> {
    const OFFSET: u32 = '！' as u32 - '!' as u32;
    match character {
        '！'..='～' => char::from_u32(character as u32 - OFFSET),
        '\u{2024}' => Some('.'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::paragraphs as text;
    use super::*;

    #[test]
    fn addresses_are_removed() {
        for address in [
            "https://evil.example.org/pay?x=1",
            "http://localhost",
            "hxxp://evil",
            "ftp://10.0.0.1/x",
            "HTTP://EVIL.EXAMPLE.ORG",
            "www.evil.example",
            "evil.example.org",
            "evil.example",
            "Evil.Com",
            "EVIL.COM",
            "evil.com/Pay",
            "evil.com:8080",
            "evil.com.",
            "pay_now.evil-shop.com",
            "xn--fsq.xn--p1ai",
            "купить.онлайн",
            "пример.рф",
            "192.168.1.20",
            "192.168.1.20/x",
            "billing@evil.example.org",
            "billing@localhost",
            "mailto:billing@evil.example",
            "ｅｖｉｌ．ｃｏｍ",
            "evil。com",
            "evil｡com",
            "evil․com",
            "billing＠evil",
            "ev\u{200b}il.\u{2060}co\u{ad}m",
            "www\u{200d}.evil\u{fe0f}.com",
            "\\\\evil\\share",
            "Urgent-pay-at-www.evil.example.jpg",
            "https://evil.example/image-1.jpg",
            "evil.example..now",
        ] {
            let removed = text(&format!("see {address} now"));
            assert!(
                ["see [link removed] now", "see [link removed]. now"].contains(&removed.as_str()),
                "{address}: {removed}"
            );
        }
    }

    #[test]
    fn punctuation_around_an_address_remains() {
        assert_eq!(text("(see evil.com)."), "(see [link removed]).");
        assert_eq!(text("\"evil.com\", then"), "\"[link removed]\", then");
        assert_eq!(text("<https://evil.com>!"), "<[link removed]>!");
        assert_eq!(text("[pay](https://evil.com)"), "[[link removed])");
    }

    #[test]
    fn other_texts_are_not_changed() {
        for unchanged in [
            "Zoë & Søren <script>alert('診断')</script>: مرحبا 🩺 1 < 2",
            "Size 3.5x2.1 mm, 0.8mm deep; ICD-10 L82.1 and C44.3.",
            "e.g. a mole, i.e. benign, 5 mg at 8 a.m. (approx. 2 cm)",
            "z.B. ein Muttermal, d.h. gutartig, am 1.5.2026 um 10:30",
            "and/or his/her: 50 mg/dl... or more",
            "Version 1.2.3, ratio 1:2, U.S. Dr. Smith",
            "痛い。休んでください。３．５ｍｍ（約）",
            "می‌خواهم",
            "हिन्दी में। क्ष‌त्र",
            "👨‍👩‍👧 ❤️ 🏳️‍🌈",
            "Wait… or not.",
            "First line\n\nSecond line\n- item",
        ] {
            assert_eq!(text(unchanged), unchanged);
        }
    }

    #[test]
    fn a_missing_space_after_a_sentence_is_not_an_address() {
        assert_eq!(text("It is benign.The next"), "It is benign. The next");
        assert_eq!(text("1.Rest, 2.Drink"), "1. Rest, 2. Drink");
        assert_eq!(text("evil.Com/pay"), "[link removed]");
        assert_eq!(text("pay-now.Com"), "[link removed]");
    }

    #[test]
    fn names_of_images_become_numbers() {
        assert_eq!(text("Take image-2.jpg again."), "Take image 2 again.");
        assert_eq!(text("(image-1.png, image-12.webp)"), "(image 1, image 12)");
        assert_eq!(text("image-1.jpg: dark (image-2.jpg?)"), "image 1: dark (image 2?)");
        assert_eq!(text("image-1.jpgを再度"), "image 1を再度");
        assert_eq!(text("image-1.jpg/image-2.jpg"), "[link removed]");
        assert_eq!(text("me@image-1.jpg"), "[link removed]");
        assert_eq!(text("image-1.jpg.example.com"), "[link removed]");
        assert_eq!(text("image-1.com/pay"), "[link removed]");
        assert_eq!(text("an image-guided biopsy"), "an image-guided biopsy");
    }

    #[test]
    fn invisible_and_control_characters_are_removed() {
        let bidi = "a\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}b";
        assert_eq!(text(bidi), "ab");
        let invisible = "a\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad}\u{34f}\u{3164}\u{fe0f}\u{e0041}\u{fffa}b";
        assert_eq!(text(invisible), "ab");
        assert_eq!(text("a\u{0}\u{7}\u{1b}[31m\u{9b}b"), "a[31mb");
        assert_eq!(text("ש\u{202e}ל\u{2069}ום"), "שלום");
        assert_eq!(text("न\u{200d}\u{202e}म"), "नम");
    }

    #[test]
    fn line_breaks_are_limited() {
        assert_eq!(text("\n\na\r\n\r\n\r\n b\u{2028}c\td\u{a0}e\n \n"), "a\n\nb\nc d e");
        assert_eq!(line(" a\nb\r\n\nc "), "a b c");
    }
}

//! Sanitizes untrusted text. Removes addresses that a mail program would turn into links, control characters, and
//! invisible characters that can reorder or hide text.

use super::image_name::{PREFIX, leading_image_number};
use super::link_schemes::contains_link;
use super::top_level_domains::is_top_level;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

const REMOVED: &str = "[link removed]";
const ZERO_WIDTH_JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// Sanitizes multi-line text, collapsing consecutive empty lines into one.
pub(super) fn paragraphs(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in visible(text).lines().map(without_addresses) {
        if !(line.is_empty() && lines.last().is_none_or(String::is_empty)) {
            lines.push(line);
        }
    }
    lines.join("\n").trim_end().to_owned()
}

/// Sanitizes text and joins its lines.
pub(super) fn line(text: &str) -> String {
    without_addresses(&visible(text))
}

/// Removes invisible characters. Converts line breaks to `\n` and other white space to a space.
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
            // The braille blank looks like a space, but Unicode does not classify it as white space.
            '\u{2800}' => shown.push(' '),
            _ if character.is_whitespace() => shown.push(' '),
            // U+FFF9 to U+FFFB delimit interlinear annotations, which are not meant for plain text.
            _ if character.is_control() || ('\u{fff9}'..='\u{fffb}').contains(&character) => {}
            // Emoji and several scripts, such as Persian and Hindi, need zero-width joiners.
            _ if ZERO_WIDTH_JOINERS.contains(&character) => {
                let after = characters.peek().copied().filter(|next| !invisible.contains(*next));
                if [before, after].into_iter().all(|it| it.is_some_and(is_joined)) {
                    shown.push(character);
                }
            }
            // Variation selectors switch the preceding character between text and emoji presentation.
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

/// Replaces image names and every word that contains an address. Joins the words with single spaces.
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

/// Splits a word where the space between two sentences is missing, as in `benign.The`. Otherwise, the word would be
/// mistaken for a domain.
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

/// Replaces names such as `image-2.jpg`, which patients do not know, with `image 2`. Leaves addresses unchanged.
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
    // Punctuation may end a sentence. The address continues only if another character follows.
    text.trim_start_matches(['.', ':', '?']).starts_with(is_address_char)
}

/// Returns whether a mail program may turn part of this word into a link.
///
/// Mail programs turn words that end in a top-level domain, such as `evil.com`, into links. `Node.js` and `Dr.Smith`
/// are left unchanged. The mail program's list of domains may be newer than ours, so words that would not appear in a
/// genuine report, such as `www.evil.new` and `evil.new/pay`, are removed whatever they end in. A word that happens to
/// end in a top-level domain, such as `Dr.Black`, is removed as well.
fn contains_address(word: &str) -> bool {
    let word = ascii_forms(word);
    let is_email = |at: usize| {
        word[..at].ends_with(is_local_part_char) && word[at + 1..].starts_with(is_host_char)
    };
    word.contains("://")
        || contains_link(&word)
        // `\\server\folder` is a Windows network path.
        || word.contains("\\\\")
        || word.match_indices('@').any(|(at, _)| is_email(at))
        || host_like_parts(&word).any(|(part, after)| {
            part.split("..").any(|text| is_host(text, continues_with_path(after)))
        })
}

/// Returns the longest runs of host characters, each with the rest of the word.
fn host_like_parts(word: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let part = &rest[rest.find(is_host_char)?..];
        let length = part.find(|it| !is_host_char(it)).unwrap_or(part.len());
        let (part, after) = part.split_at(length);
        rest = after;
        Some((part, after))
    })
}

/// Returns whether the text after a host begins with a port, path, query or fragment.
fn continues_with_path(after: &str) -> bool {
    let rest = after.strip_prefix([':', '/', '?', '#', '\\']);
    rest.is_some_and(|rest| rest.starts_with(|it| is_host_char(it) || is_address_char(it)))
}

fn is_local_part_char(character: char) -> bool {
    !character.is_whitespace() && !"()<>[]:;@\\,\"".contains(character)
}

fn is_host_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character) || !character.is_ascii()
}

/// Returns whether the text is a domain or an IPv4 address, ignoring leading and trailing dots.
fn is_host(text: &str, has_path: bool) -> bool {
    let labels: Vec<&str> = text.split('.').filter(|label| !label.is_empty()).collect();
    let ([_, after_first @ ..], [before_last @ .., _]) = (labels.as_slice(), labels.as_slice())
    else {
        return false;
    };
    if labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok()) {
        return true;
    }
    // A mail program may link only the first labels, so any label can be the last label of a host.
    after_first.iter().any(|label| is_top_level(label))
        || before_last.iter().any(|label| ends_with_www(label))
        || (after_first.iter().any(|label| can_be_top_level(label))
            && (has_path || labels.len() > 2))
}

fn ends_with_www(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    let before = label.strip_suffix("www");
    before.is_some_and(|before| !before.ends_with(|it: char| it.is_ascii_alphanumeric()))
}

/// Returns whether a label may be a top-level domain that is missing from our list.
fn can_be_top_level(label: &str) -> bool {
    let mut letters = label.chars();
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_some()
}

/// Replaces characters that browsers treat as ASCII in addresses. The ideographic full stop is replaced only between
/// Latin letters or digits because it also ends sentences.
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

/// Returns the ASCII equivalent of a full-width form (U+FF01 to U+FF5E) or a one dot leader (U+2024).
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

    const ADDRESSES: &[&str] = &[
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
        "evil.example/path",
        "evil。example",
        "evil．ｅｘａｍｐｌｅ",
        "evil.com診断",
        "evil.com-now",
        "evil.com.smith",
        "evil.onion",
        "EVIL.ZIP",
        // Top-level domains that are not in the list.
        "www.evil.nextgtld",
        "www.nextgtld",
        "evil.nextgtld/pay",
        "evil.nextgtld:8080",
        "evil.nextgtld?pay",
        // The last label is not a top-level domain.
        "www.evil.example.-",
        "www.evil.example.1/pay",
        "evil.com._",
        "evil.com.5",
        "www.evil.nextgtld.-",
        "www.5",
        "pay-at-www.evil.5",
        "evil.nextgtld.1/pay",
        "shop.evil.nextgtld._",
        // Addresses without a host.
        "tel:+4930123456",
        "TEL:030/123",
        "sms:+49301",
        "(skype:evil?call)",
        "bitcoin:175tWpb8K1S7NmH4Zx6rewF9WQrcZv245W",
        "mailto:billing",
        "now:tel:5",
        "пример.следующий/оплата",
    ];

    #[test]
    fn addresses_are_removed() {
        for address in ADDRESSES {
            let removed = text(&format!("see {address} now"));
            // Punctuation around an address is preserved.
            let removed = removed.replace(['(', ')', '.', '_'], "");
            assert_eq!(removed, "see [link removed] now", "{address}");
        }
    }

    #[test]
    fn punctuation_around_an_address_is_preserved() {
        assert_eq!(text("(see evil.com)."), "(see [link removed]).");
        assert_eq!(text("\"evil.com\", then"), "\"[link removed]\", then");
        assert_eq!(text("<https://evil.com>!"), "<[link removed]>!");
        assert_eq!(text("[pay](https://evil.com)"), "[[link removed])");
    }

    #[test]
    fn text_without_addresses_is_unchanged() {
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
            "Ask Dr.Smith (or Dr.Müller), Prof.Jansen's office: see Node.js, \"Node.js\"?",
            "Сегодня.Завтра",
            "Tel: 030 123456 (Hotel:5, tel:), ratio 3:1, Note:see",
            "L82.1, C44.3-C44.5, ca.5 mm, v2.a.1, 1.a.2",
            "First line\n\nSecond line\n- item",
        ] {
            assert_eq!(text(unchanged), unchanged);
        }
    }

    #[test]
    fn sentences_not_separated_by_a_space_are_not_mistaken_for_an_address() {
        assert_eq!(text("It is benign.The next"), "It is benign. The next");
        assert_eq!(text("1.Rest, 2.Drink"), "1. Rest, 2. Drink");
        assert_eq!(text("evil.Com/pay"), "[link removed]");
        assert_eq!(text("pay-now.Com"), "[link removed]");
    }

    #[test]
    fn image_names_are_replaced_with_image_numbers() {
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
    fn repeated_line_breaks_are_collapsed() {
        assert_eq!(text("\n\na\r\n\r\n\r\n b\u{2028}c\td\u{a0}e\n \n"), "a\n\nb\nc d e");
        assert_eq!(line(" a\nb\r\n\nc "), "a b c");
    }
}

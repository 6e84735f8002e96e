//! Accepts two kinds of JSON that real clients send and that strict parsers reject: JSON with a byte order mark, and
//! JSON with an unpaired surrogate, which is left behind when a program truncates text in the middle of an emoji.

use bytes::{Bytes, BytesMut};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const REPLACEMENT_ESCAPE: &[u8] = b"\\ufffd";
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Removes a byte order mark, and replaces each unpaired surrogate with U+FFFD. Each replacement has the same length as
/// the original, so positions in error messages remain correct. The text is copied only if its buffer is shared.
pub(crate) fn lenient(mut text: Bytes) -> Bytes {
    if text.starts_with(BYTE_ORDER_MARK) {
        text = text.slice(BYTE_ORDER_MARK.len()..);
    }
    let Some(first) = next_half(&text, 0) else { return text };
    let mut bytes = BytesMut::from(text);
    let mut half = Some(first);
    while let Some(found) = half {
        let end = found.start + found.replacement.len();
        bytes[found.start..end].copy_from_slice(found.replacement);
        half = next_half(&bytes, end);
    }
    bytes.freeze()
}

/// An unpaired surrogate, and a replacement of the same length.
struct Half {
    start: usize,
    replacement: &'static [u8],
}

/// Finds the first unpaired surrogate at or after the index `at`. The index must not be inside an escape sequence.
fn next_half(text: &[u8], mut at: usize) -> Option<Half> {
    loop {
        // A surrogate encoded as UTF-8 begins with the byte 0xED.
        at += text.get(at..)?.iter().position(|byte| matches!(byte, b'\\' | 0xED))?;
        let rest = &text[at..];
        at += match (rest, unit(rest)) {
            (_, Some(0xDC00..=0xDFFF)) => {
                return Some(Half { start: at, replacement: REPLACEMENT_ESCAPE });
            }
            (_, Some(0xD800..=0xDBFF)) => match rest.get(6..).and_then(unit) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return Some(Half { start: at, replacement: REPLACEMENT_ESCAPE }),
            },
            (_, Some(_)) => 6,
            ([0xED, 0xA0..=0xBF, 0x80..=0xBF, ..], None) => {
                return Some(Half { start: at, replacement: REPLACEMENT });
            }
            ([b'\\', ..], None) => 2,
            _ => 1,
        };
    }
}

/// Parses an escape sequence (`\u` and four hexadecimal digits) at the beginning of the text as a UTF-16 code unit.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(text: &[u8]) -> Value {
        let text = lenient(Bytes::copy_from_slice(text));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    #[test]
    fn an_unpaired_surrogate_is_replaced() {
        for (text, expected) in [
            (r#"["it itches \ud83d"]"#, "it itches \u{fffd}"),
            (r#"["\ude00 x"]"#, "\u{fffd} x"),
            (r#"["\uD83D\ud83d\ude00"]"#, "\u{fffd}😀"),
            (r#"["\ud83d\n"]"#, "\u{fffd}\n"),
            (r#"["\ud83d\\ude00"]"#, "\u{fffd}\\ude00"),
            (r#"["\ude00\ud83d"]"#, "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(parsed(text.as_bytes()), json!([expected]), "{text}");
        }
        assert_eq!(parsed(br#"{"a\ud83d": 1}"#), json!({"a\u{fffd}": 1}), "in a key");
        // Some languages encode an unpaired surrogate as three bytes.
        assert_eq!(parsed(b"[\"a\xed\xa0\xbdb\"]"), json!(["a\u{fffd}b"]));
    }

    #[test]
    fn text_without_unpaired_surrogates_is_not_changed() {
        for text in [
            r#"["\ud83d\ude00 \\ud83d \u00e4 \"\\\\"]"#,
            "[\"😀 한 \u{d7ff} \u{e000}\"]",
            r#"["\ud83"#,
            r#"["\"#,
            "",
        ] {
            assert_eq!(lenient(Bytes::from(text)), text);
        }
    }

    #[test]
    fn a_byte_order_mark_is_removed() {
        assert_eq!(parsed("\u{feff}[1]".as_bytes()), json!([1]));
        assert_eq!(
            lenient(Bytes::from("\u{feff}\u{feff}[]")),
            "\u{feff}[]",
            "only one byte order mark is removed"
        );
    }
}

//! Parses the field name and the file name in the `Content-Disposition` header of a form field. Clients send these
//! names with or without quotes, percent-encoded as in browsers (`%22` for a quote), with a backslash before each quote
//! (older browsers), or as an RFC 8187 extended parameter (`filename*=utf-8''h%C3%A4ut.jpg`). RFC 7578 forbids extended
//! parameters, but some libraries send them anyway.

use percent_encoding::percent_decode_str;
use std::iter;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ContentDisposition {
    pub(super) name: String,
    /// `None` for a field that is not a file.
    pub(super) file_name: Option<String>,
}

impl ContentDisposition {
    /// Extended parameters take precedence (RFC 6266, 4.3).
    pub(super) fn parse(header: &[u8]) -> Self {
        let header = String::from_utf8_lossy(header);
        let (mut plain, mut extended) = ((None, None), (None, None));
        for (parameter, value) in parameters(&header) {
            match parameter.to_ascii_lowercase().as_str() {
                "name" => plain.0 = Some(decode_browser_escapes(&value)),
                "filename" => plain.1 = Some(decode_browser_escapes(&value)),
                "name*" => extended.0 = decode_extended(&value),
                "filename*" => extended.1 = decode_extended(&value),
                _ => {}
            }
        }
        Self { name: extended.0.or(plain.0).unwrap_or_default(), file_name: extended.1.or(plain.1) }
    }
}

/// Returns the parameters after the type `form-data`.
fn parameters(header: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    iter::from_fn(move || {
        let (parameter, value) = rest.split_once('=')?;
        // A parameter without a value is skipped.
        let parameter = parameter.rsplit(';').next().unwrap_or_default().trim();
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted),
            None => {
                let (value, after) = value.split_at(value.find(';').unwrap_or(value.len()));
                (value.trim().to_owned(), after)
            }
        };
        rest = after.split_once(';').map_or("", |(_, after)| after);
        Some((parameter, value))
    })
}

/// Returns the text up to the closing quote, and the rest of the header. A backslash escapes only a quote. Other
/// backslashes are part of a Windows path.
fn read_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        match before.strip_suffix('\\') {
            Some(before) => {
                value.push_str(before);
                value.push('"');
                rest = after;
            }
            None => {
                value.push_str(before);
                return (value, after);
            }
        }
    }
    value.push_str(rest);
    (value, "")
}

/// Browsers percent-encode only these three characters, and not the percent sign itself (HTML, "multipart/form-data
/// encoding algorithm").
fn decode_browser_escapes(value: &str) -> String {
    value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Decodes a value of the form `charset'language'percent-encoded`. Returns `None` for any other value.
fn decode_extended(value: &str) -> Option<String> {
    let (charset, value) = value.split_once('\'')?;
    let (_language, encoded) = value.split_once('\'')?;
    let bytes = percent_decode_str(encoded);
    if charset.eq_ignore_ascii_case("iso-8859-1") {
        return Some(bytes.map(char::from).collect());
    }
    Some(bytes.decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(header: &str) -> (String, Option<String>) {
        let found = ContentDisposition::parse(header.as_bytes());
        (found.name, found.file_name)
    }

    fn file_name(parameters: &str) -> Option<String> {
        let (name, file_name) = names(&format!("form-data; name=\"images\"; {parameters}"));
        assert_eq!(name, "images", "{parameters}");
        file_name
    }

    #[test]
    fn file_names_in_all_common_encodings_are_decoded() {
        for (parameters, expected) in [
            (r#"filename="a.jpg""#, "a.jpg"),
            ("filename=a.jpg", "a.jpg"),
            ("FileName = \"a b;c.jpg\"", "a b;c.jpg"),
            ("filename=\"Häut.jpg\"", "Häut.jpg"),
            (r#"filename="my %22left%22 arm%0D%0A.jpg""#, "my \"left\" arm\r\n.jpg"),
            (r#"filename="my \"left\" arm.jpg""#, "my \"left\" arm.jpg"),
            (r#"filename="C:\photos\arm.jpg""#, r"C:\photos\arm.jpg"),
            (r#"filename="100%41%.jpg""#, "100%41%.jpg"),
            ("filename*=utf-8''H%C3%A4ut%20%22a%22.jpg", "Häut \"a\".jpg"),
            (r#"filename="H_ut.jpg"; filename*=UTF-8'de'H%C3%A4ut.jpg"#, "Häut.jpg"),
            (r#"filename*=UTF-8''H%C3%A4ut.jpg; filename="H_ut.jpg""#, "Häut.jpg"),
            ("filename*=iso-8859-1'en'H%E4ut.jpg", "Häut.jpg"),
            (r#"filename*=broken; filename="a.jpg""#, "a.jpg"),
            (r#"filename="the name=comments; x.jpg""#, "the name=comments; x.jpg"),
            (r#"filename="unclosed.jpg"#, "unclosed.jpg"),
            (r#"filename="""#, ""),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(expected), "{parameters}");
        }
        assert_eq!(file_name("creation-date=now; flag"), None);
    }

    #[test]
    fn field_names_are_decoded() {
        assert_eq!(names("form-data; flag; NAME=email"), ("email".to_owned(), None));
        assert_eq!(names("form-data; name*=utf-8''m%C3%B6le").0, "möle");
        assert_eq!(names("form-data; name=\"a%22b\"").0, "a\"b");
        let reversed = names("form-data; filename=\"a.jpg\"; name=\"images\"");
        assert_eq!(reversed, ("images".to_owned(), Some("a.jpg".to_owned())));
        for nothing in ["form-data", "", "form-data; name", "form-data; ="] {
            assert_eq!(names(nothing), (String::new(), None), "{nothing}");
        }
    }

    #[test]
    fn invalid_utf_8_is_replaced() {
        let found = ContentDisposition::parse(
            b"form-data; name=\"images\"; filename=\"H\xe4ut\xed\xa0\xbd.jpg\"",
        );
        assert!(found.file_name.is_some_and(|name| name.starts_with("H\u{fffd}ut")));
    }
}

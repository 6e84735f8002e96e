//! Decodes an image from plain base64 or from a `data:` URL. No library is used to parse the URL, because the
//! size must be checked before anything is decoded.

use crate::intake::draft::is_data_url;
use crate::intake::validation_errors::ImageError;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Browsers and libraries differ in padding, so padding is optional.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) struct ImageText<'a> {
    /// Base64 digits in either alphabet, possibly with whitespace and percent-encoding.
    encoded: &'a str,
}

impl<'a> ImageText<'a> {
    /// Returns `None` for a `data:` URL that is not base64. The media type of the URL is ignored.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        if !is_data_url(text.as_bytes()) {
            return Some(Self { encoded: text });
        }
        let (about, encoded) = text[5..].split_once(',')?;
        let mut parameters = about.split(';');
        let is_base64 = parameters.any(|text| text.trim().eq_ignore_ascii_case("base64"));
        is_base64.then_some(Self { encoded })
    }

    /// Decodes the image after checking its size.
    pub(crate) fn decode(&self, limit: usize) -> Result<Bytes, ImageError> {
        let digits = digits(self.encoded);
        let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
        if (digits.len() - padding) / 4 * 3 > limit {
            return Err(ImageError::TooLarge);
        }
        let bytes = ENGINE.decode(digits).map_err(|_| ImageError::DataInvalid)?;
        if bytes.len() > limit { Err(ImageError::TooLarge) } else { Ok(bytes.into()) }
    }
}

/// Converts the digits to the standard alphabet and removes whitespace. Also accepts the URL-safe alphabet and
/// percent-encoded digits, which occur in a `data:` URL that was embedded in another URL.
fn digits(encoded: &str) -> Cow<'_, [u8]> {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if encoded.bytes().all(is_digit) {
        return encoded.as_bytes().into();
    }
    let bytes = percent_decode_str(encoded).filter(|byte| !byte.is_ascii_whitespace());
    let standard = bytes.map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    });
    standard.collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, limit: usize) -> Result<Bytes, ImageError> {
        ImageText::parse(text).ok_or(ImageError::DataInvalid)?.decode(limit)
    }

    #[test]
    fn all_common_base64_forms_are_decoded() {
        for text in [
            "aGVsbG8h",
            "data:image/png;base64,aGVsbG8h",
            "DATA:;Base64,aGVs bG8h",
            " data:image/jpeg;name=a.jpg;base64,aGVs\r\nbG8h\n",
            "data:image/*;base64;charset=utf-8,aGVsbG8h",
            "data:base64,aGVsbG8h",
            "data:;base64,aGVsbG8h",
            "data:not a type/;;base64,aGVsbG8h",
        ] {
            assert_eq!(decoded(text, 6).expect(text), "hello!", "{text}");
        }
        assert_eq!(decoded("aGVsbG8=", 9).expect("padded"), "hello");
        assert_eq!(decoded("aGVsbG8", 9).expect("not padded"), "hello");
    }

    #[test]
    fn the_url_safe_alphabet_and_percent_encoding_are_decoded() {
        for text in [
            "+/+/",
            "-_-_",
            "+_-/",
            "data:image/png;base64,-_-_",
            "data:image/png;base64,%2B%2F%2b%2F%0D%0A",
            " data:;base64,-%2F +_",
            "%2B%2F-_",
        ] {
            assert_eq!(decoded(text, 3).expect(text), b"\xfb\xff\xbf".as_slice(), "{text}");
        }
        assert_eq!(decoded("aGVsbG8%3D", 5).expect("padded"), "hello");
        assert_eq!(decoded("-_-_", 2), Err(ImageError::TooLarge));
    }

    #[test]
    fn invalid_base64_is_rejected() {
        for text in [
            "hello!",
            "data:image/png,hello",
            "data:image/png;base64",
            "äöü=",
            "aGVsb",
            "%2",
            "%zz",
        ] {
            assert_eq!(decoded(text, 99), Err(ImageError::DataInvalid), "{text}");
        }
    }

    #[test]
    fn an_image_of_exactly_the_maximum_size_is_decoded() {
        assert!(decoded("aGVsbG8h", 6).is_ok());
        assert_eq!(decoded("aGVsbG8h", 5), Err(ImageError::TooLarge));
        assert!(decoded("aGVsbG8=", 5).is_ok());
        assert_eq!(decoded("aGVsbG8=", 4), Err(ImageError::TooLarge));
    }
}

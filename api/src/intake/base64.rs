//! Decodes an image in JSON: base64, plain or in a `data:` URL. The URL is parsed by hand, because the size must be
//! checked before anything is decoded.

use crate::intake::draft::is_data_url;
use crate::intake::validation_errors::ImageError;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use std::borrow::Cow;

/// Browsers and libraries differ in padding, so padding is optional.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) struct ImageText<'a> {
    /// May contain whitespace.
    encoded: &'a str,
}

impl<'a> ImageText<'a> {
    /// `None` for a `data:` URL that is not base64. Its media type does not matter.
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

    /// Checks the size before decoding.
    pub(crate) fn decode(&self, limit: usize) -> Result<Bytes, ImageError> {
        let is_space = |byte: &u8| byte.is_ascii_whitespace();
        let digits = if self.encoded.bytes().any(|byte| is_space(&byte)) {
            let digits = self.encoded.bytes().filter(|byte| !is_space(byte));
            Cow::Owned(digits.collect::<Vec<u8>>())
        } else {
            Cow::Borrowed(self.encoded.as_bytes())
        };
        let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
        if (digits.len() - padding) / 4 * 3 > limit {
            return Err(ImageError::TooLarge);
        }
        let bytes = ENGINE.decode(digits).map_err(|_| ImageError::DataInvalid)?;
        if bytes.len() > limit { Err(ImageError::TooLarge) } else { Ok(bytes.into()) }
    }
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
    fn invalid_base64_is_rejected() {
        for text in ["hello!", "data:image/png,hello", "data:image/png;base64", "äöü=", "aGVsb"]
        {
            assert_eq!(decoded(text, 99), Err(ImageError::DataInvalid), "{text}");
        }
    }

    #[test]
    fn the_limit_is_exact() {
        assert!(decoded("aGVsbG8h", 6).is_ok());
        assert_eq!(decoded("aGVsbG8h", 5), Err(ImageError::TooLarge));
        assert!(decoded("aGVsbG8=", 5).is_ok());
        assert_eq!(decoded("aGVsbG8=", 4), Err(ImageError::TooLarge));
    }
}

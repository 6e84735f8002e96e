//! Checks images by their bytes, because the media type that the sender declares cannot be trusted.
//!
//! Pixels are not decoded. Decoding takes 0.2 s for a 12-megapixel photo, and 300 MB of memory for the 100 megapixels
//! that a PNG file of one megabyte can contain. It would not even detect a truncated JPEG, because decoders fill the
//! missing part with grey; `truncation` detects it.

use crate::intake::base64::ImageText;
use crate::intake::draft::{Content, DraftImage, DraftValue};
use crate::intake::truncation::has_end;
use crate::intake::valid_submission::ValidImage;
use crate::intake::validation_errors::{ImageError, Limits, MAX_PIXELS};
use bytes::Bytes;
use diagflow_store::{NewFile, Sha256};
use image::{ImageFormat, ImageReader};
use std::io::Cursor;

const MAX_NAME_CHARS: usize = 255;

/// The header includes a colour profile, which is compressed in PNG: one megabyte can expand to a gigabyte.
const MAX_HEADER_BYTES: u64 = 16 * 1024 * 1024;

const ALLOWED: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

/// Checks the image at `index` (from 0). The bytes are read only if the cheap checks pass.
pub(crate) fn check(
    image: DraftImage<'_>,
    index: usize,
    limits: Limits,
) -> Result<ValidImage, Vec<ImageError>> {
    let mut errors = Vec::new();
    if !declared_type_is_allowed(&image) {
        errors.push(ImageError::TypeNotAllowed);
    }
    let bytes = match content(image.content, limits) {
        Ok(bytes) if errors.is_empty() => bytes,
        Ok(_) => return Err(errors),
        Err(field_error) => {
            errors.push(field_error);
            return Err(errors);
        }
    };
    let format = detect_format(&bytes).map_err(|field_error| vec![field_error])?;
    let record = NewFile {
        name: file_name(&image.name, index, format),
        media_type: format.to_mime_type().to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
    };
    Ok(ValidImage { record, bytes })
}

fn declared_type_is_allowed(image: &DraftImage<'_>) -> bool {
    let from_url = match &image.content {
        Content::Text(text) => ImageText::parse(text).and_then(|parts| parts.declared),
        _ => None,
    };
    let declared = match &image.declared {
        DraftValue::Text(text) => text.as_ref(),
        DraftValue::Missing => from_url.unwrap_or_default(),
        DraftValue::Flag(_) | DraftValue::Other => return false,
    };
    let media_type = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        // The type is not declared. Browsers send `application/octet-stream` for unknown file types.
        "" | "application/octet-stream" => true,
        // These types are common, but not registered with IANA.
        "image/jpg" | "image/pjpeg" => true,
        other => ALLOWED.iter().any(|format| format.to_mime_type() == other),
    }
}

fn content(content: Content<'_>, limits: Limits) -> Result<Bytes, ImageError> {
    let bytes = match content {
        Content::Bytes(bytes) => bytes,
        Content::Text(text) => {
            ImageText::parse(&text).ok_or(ImageError::DataInvalid)?.decode(limits.file_size)?
        }
        Content::TooLarge => return Err(ImageError::TooLarge),
        Content::None => return Err(ImageError::DataInvalid),
        Content::FileId => return Err(ImageError::FileIdNotSupported),
    };
    if bytes.is_empty() { Err(ImageError::Empty) } else { Ok(bytes) }
}

/// Detects the format from the first bytes. Images with an unreadable header or without their end are rejected.
fn detect_format(bytes: &Bytes) -> Result<ImageFormat, ImageError> {
    let kind = infer::get(bytes).ok_or(ImageError::NotAnImage)?;
    let Some(format) = ALLOWED.into_iter().find(|format| format.to_mime_type() == kind.mime_type())
    else {
        let other_image = kind.matcher_type() == infer::MatcherType::Image;
        return Err(if other_image { ImageError::TypeNotAllowed } else { ImageError::NotAnImage });
    };
    let (width, height) =
        reader(bytes, format).into_dimensions().map_err(|_| ImageError::NotAnImage)?;
    match u64::from(width) * u64::from(height) {
        0 => Err(ImageError::NotAnImage),
        pixels if pixels > MAX_PIXELS => Err(ImageError::TooManyPixels),
        _ if !has_end(bytes, format) => Err(ImageError::NotAnImage),
        _ => Ok(format),
    }
}

/// Returns a reader that uses limited memory for the header of an image.
fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(MAX_HEADER_BYTES);
    reader.limits(limits);
    reader
}

fn file_name(name_sent: &DraftValue<'_>, index: usize, format: ImageFormat) -> String {
    let name_sent = name_sent.text().unwrap_or_default();
    let last = name_sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if !name.trim().is_empty() {
        return name.trim().to_owned();
    }
    let extension = format.extensions_str().first().copied().unwrap_or("bin");
    format!("image-{}.{extension}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageDecoder, ImageEncoder};

    fn named(name: &str) -> String {
        file_name(&DraftValue::Text(name.into()), 1, ImageFormat::Png)
    }

    #[test]
    fn folders_and_control_characters_are_removed_from_file_names() {
        assert_eq!(named("C:\\fakepath\\my photo.png"), "my photo.png");
        assert_eq!(named("../../etc/passwd"), "passwd");
        assert_eq!(named("a\u{0}b\r\n.png"), "ab.png");
        assert_eq!(named("häut.png"), "häut.png");
        assert_eq!(named(&"x".repeat(999)).len(), MAX_NAME_CHARS);
    }

    /// Reads the header of an image with a colour profile of this size. Returns the number of inflated bytes.
    fn inflated(profile: usize) -> Option<usize> {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(vec![0; profile]).expect("PNG supports colour profiles");
        encoder.write_image(&[0; 12], 2, 2, ExtendedColorType::Rgb8).expect("an image");
        assert!(png.len() < 1024 * 1024, "{} bytes", png.len());
        assert!(detect_format(&png.clone().into()).is_ok(), "the image itself is valid");
        let mut decoder = reader(&png, ImageFormat::Png).into_decoder().expect("an image");
        decoder.icc_profile().expect("a readable profile").map(|profile| profile.len())
    }

    #[test]
    fn reading_a_header_uses_bounded_memory() {
        assert_eq!(inflated(64 * 1024), Some(64 * 1024));
        assert_eq!(inflated(64 * 1024 * 1024), None);
    }

    #[test]
    fn an_image_without_a_name_gets_a_generated_name() {
        for nothing in ["", "  ", "folder/", "\u{7}"] {
            assert_eq!(named(nothing), "image-2.png", "{nothing:?}");
        }
    }
}

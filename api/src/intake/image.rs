//! Checks the bytes of an image. The type that the sender declares does not matter.

use crate::intake::base64::ImageText;
use crate::intake::decoding_memory;
use crate::intake::draft::{Content, DraftImage, DraftValue};
use crate::intake::valid_submission::ValidImage;
use crate::intake::validation_errors::{ImageError, Limits, MAX_PIXELS};
use bytes::Bytes;
use diagflow_photos::{Format, check_and_clean, read_header};
use diagflow_store::{NewFile, Sha256};

const MAX_NAME_CHARS: usize = 255;

/// Checks the image at `index` (from 0).
pub(crate) fn check(
    image: DraftImage<'_>,
    index: usize,
    limits: Limits,
) -> Result<ValidImage, ImageError> {
    let bytes = content(image.content, limits)?;
    let (format, cleaned) = inspect(&bytes)?;
    let record = NewFile {
        name: file_name(&image.name, index, format),
        media_type: format.media_type().to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
        cleaned_size: cleaned.len() as u64,
        cleaned_sha256: Sha256::of(&cleaned),
    };
    Ok(ValidImage { record, bytes })
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

/// The format and the bytes without metadata of a complete photo.
fn inspect(bytes: &[u8]) -> Result<(Format, Vec<u8>), ImageError> {
    let header = read_header(bytes)?;
    if header.pixels() > MAX_PIXELS {
        return Err(ImageError::TooManyPixels);
    }
    let _memory = decoding_memory::reserve(header.decoded_bytes());
    Ok((header.format, check_and_clean(bytes, header.format)?))
}

/// Returns the file name without directories and control characters.
fn file_name(name_sent: &DraftValue<'_>, index: usize, format: Format) -> String {
    let name_sent = name_sent.text().unwrap_or_default();
    let last = name_sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if !name.trim().is_empty() {
        return name.trim().to_owned();
    }
    format!("image-{}.{}", index + 1, format.extension())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        file_name(&DraftValue::Text(name.into()), 1, Format::Png)
    }

    #[test]
    fn folders_and_control_characters_are_removed_from_file_names() {
        assert_eq!(named("C:\\fakepath\\my photo.png"), "my photo.png");
        assert_eq!(named("../../etc/passwd"), "passwd");
        assert_eq!(named("a\u{0}b\r\n.png"), "ab.png");
        assert_eq!(named("häut.png"), "häut.png");
        assert_eq!(named(&"x".repeat(999)).len(), MAX_NAME_CHARS);
    }

    #[test]
    fn an_image_without_a_name_gets_a_generated_name() {
        for nothing in ["", "  ", "folder/", "\u{7}"] {
            assert_eq!(named(nothing), "image-2.png", "{nothing:?}");
        }
    }
}

//! Checks an image's bytes and ignores its declared type.

use crate::intake::base64::ImageText;
use crate::intake::decoding_memory::CAPACITY;
use crate::intake::draft::{Content, DraftImage, DraftValue};
use crate::intake::valid_submission::ValidImage;
use crate::intake::validation_errors::{ImageError, Limits, MAX_PIXELS};
use bytes::Bytes;
use diagflow_photos::{Format, Header, check_and_clean, read_header};
use diagflow_store::{NewFile, Sha256};

const MAX_NAME_CHARS: usize = 255;

/// An image with a valid header, whose pixels have not been checked yet.
pub(crate) struct Photo {
    name: String,
    header: Header,
    bytes: Bytes,
}

impl Photo {
    /// Reads the header of the image at the zero-based `index`.
    pub(crate) fn open(
        image: DraftImage<'_>,
        index: usize,
        limits: Limits,
    ) -> Result<Self, ImageError> {
        let bytes = content(image.content, limits)?;
        let header = read_header(&bytes)?;
        let max = max_pixels(&header);
        if header.pixels() > max {
            return Err(ImageError::TooManyPixels { max });
        }
        Ok(Self { name: file_name(&image.name, index, header.format), header, bytes })
    }

    /// Number of bytes of memory that [`Self::check`] needs.
    pub(crate) fn decoding_bytes(&self) -> u64 {
        self.header.decoding_bytes
    }

    /// Checks that the photo is complete. This may take seconds.
    pub(crate) fn check(self) -> Result<ValidImage, ImageError> {
        let Self { name, header, bytes } = self;
        let cleaned = check_and_clean(&bytes, header.format)?;
        let record = NewFile {
            name,
            media_type: header.format.media_type().to_owned(),
            size: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
            cleaned_size: cleaned.len() as u64,
            cleaned_sha256: Sha256::of(&cleaned),
        };
        Ok(ValidImage { record, bytes })
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

/// Returns the maximum number of pixels for photos of this kind. Some kinds of WebP need a lot of memory per pixel.
fn max_pixels(header: &Header) -> u64 {
    if header.decoding_bytes <= CAPACITY {
        return MAX_PIXELS;
    }
    let bytes_per_pixel = header.decoding_bytes.div_ceil(header.pixels());
    MAX_PIXELS.min(CAPACITY / bytes_per_pixel)
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
    fn a_photo_is_limited_by_its_pixel_count_and_its_decoding_memory() {
        let max = |format, bytes_per_pixel: u64| {
            let (width, height) = (10_000, 10_000);
            let decoding_bytes = 100_000_000 * bytes_per_pixel;
            max_pixels(&Header { format, width, height, decoding_bytes })
        };
        assert_eq!(max(Format::Jpeg, 1), MAX_PIXELS);
        assert_eq!(max(Format::WebP, 6), MAX_PIXELS);
        assert_eq!(max(Format::WebP, 8), 75_000_000);
        assert_eq!(max(Format::WebP, 13), 46_153_846);
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

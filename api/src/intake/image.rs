//! Looks at an image's bytes. What they are counts, not what the sender says they are.
//!
//! Pixels are not decoded. It would take 0.2 s for a photo of 12 megapixels, and 300 MB of memory for
//! 100 megapixels that one megabyte of PNG can hold, at anybody's wish. And it would not even find a
//! JPEG that was cut off: decoders fill what is missing with grey. `image_end` finds that.

use crate::intake::accepted::AcceptedImage;
use crate::intake::base64::ImageText;
use crate::intake::draft::{Content, DraftImage, Given};
use crate::intake::faults::{Limits, MAX_PIXELS, WrongImage};
use crate::intake::image_end::has_end;
use bytes::Bytes;
use diagflow_store::{NewFile, Sha256};
use image::{ImageFormat, ImageReader};
use std::io::Cursor;

/// Longest file name that is kept, in characters.
const LONGEST_NAME: usize = 255;

/// Most memory for an image's header with all that stands in it. A colour profile, which is read with the
/// header, is compressed in PNG: a megabyte of it could claim a gigabyte.
const HEADER_MEMORY: u64 = 16 * 1024 * 1024;

/// The kinds of images that are taken.
const ALLOWED: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

/// Checks the image at `index` (from 0). Cheap checks first; bytes are looked through only if
/// those passed.
pub(crate) fn check(
    image: DraftImage<'_>,
    index: usize,
    limits: Limits,
) -> Result<AcceptedImage, Vec<WrongImage>> {
    let mut wrong = Vec::new();
    if !declared_type_is_allowed(&image) {
        wrong.push(WrongImage::TypeNotAllowed);
    }
    let bytes = match content(image.content, limits) {
        Ok(bytes) if wrong.is_empty() => bytes,
        Ok(_) => return Err(wrong),
        Err(fault) => {
            wrong.push(fault);
            return Err(wrong);
        }
    };
    let format = look(&bytes).map_err(|fault| vec![fault])?;
    let record = NewFile {
        name: file_name(&image.name, index, format),
        media_type: format.to_mime_type().to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
    };
    Ok(AcceptedImage { record, bytes })
}

/// Whether the sender's word about the type is one that is taken, or says nothing.
fn declared_type_is_allowed(image: &DraftImage<'_>) -> bool {
    let from_url = match &image.content {
        Content::Text(text) => ImageText::parse(text).and_then(|parts| parts.declared),
        _ => None,
    };
    let declared = match &image.declared {
        Given::Text(text) => text.as_ref(),
        Given::Missing => from_url.unwrap_or_default(),
        Given::Flag(_) | Given::Other => return false,
    };
    let media_type = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        // Nothing said. Browsers send the second one for files whose type they do not know.
        "" | "application/octet-stream" => true,
        // Common, though never registered.
        "image/jpg" | "image/pjpeg" => true,
        other => ALLOWED.iter().any(|format| format.to_mime_type() == other),
    }
}

fn content(content: Content<'_>, limits: Limits) -> Result<Bytes, WrongImage> {
    let bytes = match content {
        Content::Bytes(bytes) => bytes,
        Content::Text(text) => {
            ImageText::parse(&text).ok_or(WrongImage::DataInvalid)?.decode(limits.file_size)?
        }
        Content::TooLarge => return Err(WrongImage::TooLarge),
        Content::None => return Err(WrongImage::DataInvalid),
        Content::FileId => return Err(WrongImage::FileIdNotSupported),
    };
    if bytes.is_empty() { Err(WrongImage::Empty) } else { Ok(bytes) }
}

/// What the bytes are: by their first ones, then by a decoder that must understand their header, then
/// by their end, which must be there.
fn look(bytes: &Bytes) -> Result<ImageFormat, WrongImage> {
    let kind = infer::get(bytes).ok_or(WrongImage::NotAnImage)?;
    let Some(format) = ALLOWED.into_iter().find(|format| format.to_mime_type() == kind.mime_type())
    else {
        let other_image = kind.matcher_type() == infer::MatcherType::Image;
        return Err(if other_image { WrongImage::TypeNotAllowed } else { WrongImage::NotAnImage });
    };
    let (width, height) =
        reader(bytes, format).into_dimensions().map_err(|_| WrongImage::NotAnImage)?;
    match u64::from(width) * u64::from(height) {
        0 => Err(WrongImage::NotAnImage),
        pixels if pixels > MAX_PIXELS => Err(WrongImage::TooManyPixels),
        _ if !has_end(bytes, format) => Err(WrongImage::NotAnImage),
        _ => Ok(format),
    }
}

/// Reads an image's header, in little memory.
fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(HEADER_MEMORY);
    reader.limits(limits);
    reader
}

/// The name that the sender's device gave the file, without its folders and control characters.
fn file_name(given: &Given<'_>, index: usize, format: ImageFormat) -> String {
    let given = given.text().unwrap_or_default();
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
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
        file_name(&Given::Text(name.into()), 1, ImageFormat::Png)
    }

    #[test]
    fn a_name_keeps_no_folder_and_no_control_character() {
        assert_eq!(named("C:\\fakepath\\my photo.png"), "my photo.png");
        assert_eq!(named("../../etc/passwd"), "passwd");
        assert_eq!(named("a\u{0}b\r\n.png"), "ab.png");
        assert_eq!(named("häut.png"), "häut.png");
        assert_eq!(named(&"x".repeat(999)).len(), LONGEST_NAME);
    }

    /// How many bytes of a colour profile are inflated by reading the header of a picture that has it.
    fn inflated(profile: usize) -> Option<usize> {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(vec![0; profile]).expect("PNG has profiles");
        encoder.write_image(&[0; 12], 2, 2, ExtendedColorType::Rgb8).expect("an image");
        assert!(png.len() < 1024 * 1024, "{} bytes", png.len());
        assert!(look(&png.clone().into()).is_ok(), "the picture itself is good");
        let mut decoder = reader(&png, ImageFormat::Png).into_decoder().expect("a picture");
        decoder.icc_profile().expect("read").map(|profile| profile.len())
    }

    #[test]
    fn a_small_picture_cannot_swell_when_its_header_is_read() {
        assert_eq!(inflated(64 * 1024), Some(64 * 1024));
        assert_eq!(inflated(64 * 1024 * 1024), None);
    }

    #[test]
    fn an_image_without_a_name_gets_one() {
        for nothing in ["", "  ", "folder/", "\u{7}"] {
            assert_eq!(named(nothing), "image-2.png", "{nothing:?}");
        }
    }
}

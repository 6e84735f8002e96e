//! Detects truncated images by the structure of the file, in a few milliseconds and without extra memory. Data after
//! the end of the image is allowed: phones append videos and other image sizes there.

use image::ImageFormat;

pub(super) fn has_end(bytes: &[u8], format: ImageFormat) -> bool {
    let has_end = match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => None,
    };
    has_end.is_some()
}

/// Skips the segments before the scan (ITU T.81, B.1), because a thumbnail in a segment has its own end-of-image
/// marker. Then searches for that marker, which cannot occur within a scan.
fn jpeg(bytes: &[u8]) -> Option<()> {
    const START_OF_SCAN: u8 = 0xDA;
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let &[0xFF, marker, ..] = rest else { return None };
        match marker {
            // Fill bytes and these markers have no length.
            0xFF => rest = &rest[1..],
            0x01 | 0xD0..=0xD7 => rest = &rest[2..],
            _ => {
                let length = u16::from_be_bytes(*rest.get(2..)?.first_chunk()?);
                rest = rest.get(2 + usize::from(length)..)?;
            }
        }
        if marker == START_OF_SCAN {
            // The marker is usually at the very end.
            return rest.windows(2).rev().any(|pair| pair == [0xFF, 0xD9]).then_some(());
        }
    }
}

/// Skips chunks (PNG specification, 5.3: length, type, data, CRC) up to and including `IEND`.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        let is_last = rest.get(4..8)? == b"IEND";
        rest = rest.get(usize::try_from(length).ok()?.checked_add(12)?..)?;
        if is_last {
            return Some(());
        }
    }
}

/// Checks that the file is as long as its RIFF header declares (WebP container, "RIFF file format").
fn webp(bytes: &[u8]) -> Option<()> {
    let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    bytes.get(8..)?.get(..usize::try_from(length).ok()?).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Rgb};
    use std::io::Cursor;

    const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

    fn picture(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        ImageBuffer::from_fn(64, 48, |x, y| Rgb([x as u8 * 3, y as u8 * 5, (x * y) as u8]))
            .write_to(&mut bytes, format)
            .expect("an encoded image");
        bytes.into_inner()
    }

    #[test]
    fn a_truncated_image_is_detected_at_every_length() {
        for format in FORMATS {
            let bytes = picture(format);
            for length in 0..bytes.len() {
                assert!(
                    !has_end(&bytes[..length], format),
                    "{format:?} truncated to {length} bytes"
                );
            }
            assert!(has_end(&bytes, format), "{format:?}");
            assert!(
                has_end(&[&bytes[..], &[0; 9]].concat(), format),
                "{format:?} with trailing data"
            );
        }
    }

    #[test]
    fn the_end_marker_of_a_thumbnail_is_ignored() {
        let bytes = picture(ImageFormat::Jpeg);
        let with_thumbnail =
            [&bytes[..2], &[0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9], &bytes[2..]].concat();
        assert!(has_end(&with_thumbnail, ImageFormat::Jpeg));
        let cut = &with_thumbnail[..with_thumbnail.len() - 2];
        assert!(!has_end(cut, ImageFormat::Jpeg));
    }
}

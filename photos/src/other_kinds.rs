//! Recognises other kinds of files, so that patients learn what they chose and how to send a photo instead.

use infer::MatcherType;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKind {
    Heic,
    Avif,
    JpegXl,
    Gif,
    Svg,
    /// TIFF, BMP, raw photos and so on.
    OtherImage,
    Pdf,
    Video,
    WebPage,
    Unknown,
}

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heic => {
                "This is a HEIC photo, which we cannot read. On an iPhone, choose Settings > Camera > Formats > Most \
                 Compatible and take the photo again, or send a screenshot of it."
            }
            Self::Avif => {
                "This is an AVIF photo, which we cannot read. Set your camera to JPEG and take the photo again, or \
                 send a screenshot of it."
            }
            Self::JpegXl => {
                "This is a JPEG XL photo, which we cannot read. Set your camera to JPEG and take the photo again, or \
                 send a screenshot of it."
            }
            Self::Gif => {
                "This is a GIF. Please send a photo as a JPEG, for example one that you take with your phone."
            }
            Self::Svg => {
                "This is a drawing (SVG). Please send a photo as a JPEG, for example one that you take with your \
                 phone."
            }
            Self::OtherImage => {
                "We cannot read this kind of image. Save it as a JPEG, or send a screenshot of it."
            }
            Self::Pdf => {
                "This is a PDF. Please send a photo or a screenshot of the page instead."
            }
            Self::Video => {
                "This is a video. Please send a photo or a screenshot of the video instead."
            }
            Self::WebPage => {
                "This is a web page. Save the photo itself, or send a screenshot of it."
            }
            Self::Unknown => {
                "This file is not a photo that we can read. Please send a JPEG, for example one that you take with \
                 your phone."
            }
        })
    }
}

/// Brands of HEIF files with HEVC pictures (ISO/IEC 23008-12), and the general ones, which phones use for HEVC.
const HEIC_BRANDS: [&[u8; 4]; 10] =
    [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"];
const AVIF_BRANDS: [&[u8; 4]; 2] = [b"avif", b"avis"];

/// Bytes of a text file that are searched for its root element, after comments and declarations.
const TEXT_BYTES: usize = 1024;

pub(crate) fn detect(file: &[u8]) -> OtherKind {
    if let Some(kind) = iso_media(file) {
        return kind;
    }
    if let Some(kind) = text(file) {
        return kind;
    }
    let Some(found) = infer::get(file) else {
        return OtherKind::Unknown;
    };
    match (found.matcher_type(), found.mime_type()) {
        (_, "application/pdf") => OtherKind::Pdf,
        (_, "image/gif") => OtherKind::Gif,
        (_, "image/jxl") => OtherKind::JpegXl,
        (MatcherType::Image, _) => OtherKind::OtherImage,
        (MatcherType::Video, _) => OtherKind::Video,
        _ => OtherKind::Unknown,
    }
}

/// Files of boxes (ISO/IEC 14496-12). The first box lists the brands of the file.
fn iso_media(file: &[u8]) -> Option<OtherKind> {
    let size = u32::from_be_bytes(*file.first_chunk()?);
    if file.get(4..8)? != b"ftyp" {
        return None;
    }
    let end = usize::try_from(size).ok()?.min(file.len());
    let (brands, _) = file.get(8..end)?.as_chunks::<4>();
    // The second word is the version of the major brand.
    let brands = || brands.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, it)| it);
    let has = |known: &[&[u8; 4]]| brands().any(|brand| known.contains(&brand));
    if has(&AVIF_BRANDS) {
        Some(OtherKind::Avif)
    } else if has(&HEIC_BRANDS) {
        Some(OtherKind::Heic)
    } else if brands().next().is_some_and(|brand| brand == b"crx ") {
        Some(OtherKind::OtherImage)
    } else {
        Some(OtherKind::Video)
    }
}

fn text(file: &[u8]) -> Option<OtherKind> {
    let start = String::from_utf8_lossy(&file[..file.len().min(TEXT_BYTES)]).to_lowercase();
    let start = start.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    if !start.starts_with('<') {
        return None;
    }
    if start.contains("<svg") {
        Some(OtherKind::Svg)
    } else if start.contains("<html") || start.contains("<!doctype html") {
        Some(OtherKind::WebPage)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftyp(brands: &[&[u8; 4]]) -> Vec<u8> {
        let size = 16 + 4 * (brands.len() as u32 - 1);
        let mut file = [&size.to_be_bytes()[..], b"ftyp", brands[0], &[0; 4]].concat();
        for brand in &brands[1..] {
            file.extend_from_slice(*brand);
        }
        file.extend_from_slice(&[0; 64]);
        file
    }

    #[test]
    fn every_brand_of_heif_and_avif_is_recognised() {
        for brand in HEIC_BRANDS {
            assert_eq!(detect(&ftyp(&[brand, b"xxxx"])), OtherKind::Heic);
            assert_eq!(detect(&ftyp(&[b"xxxx", brand])), OtherKind::Heic);
        }
        assert_eq!(detect(&ftyp(&[b"mif1", b"avif", b"miaf"])), OtherKind::Avif);
        assert_eq!(detect(&ftyp(&[b"avis", b"msf1"])), OtherKind::Avif);
        for brand in [b"isom", b"qt  ", b"mp42", b"M4V ", b"3gp4"] {
            assert_eq!(detect(&ftyp(&[brand])), OtherKind::Video);
        }
        assert_eq!(detect(&ftyp(&[b"crx ", b"isom"])), OtherKind::OtherImage);
    }

    #[test]
    fn other_kinds_are_recognised_by_their_first_bytes() {
        for (start, kind) in [
            (&b"GIF89a\x01\0\x01\0"[..], OtherKind::Gif),
            (b"%PDF-1.7\n", OtherKind::Pdf),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x82\x84webm", OtherKind::Video),
            (b"II*\0\x08\0\0\0", OtherKind::OtherImage),
            (b"BM\0\0\0\0\0\0", OtherKind::OtherImage),
            (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", OtherKind::Svg),
            (b"\xEF\xBB\xBF <!DOCTYPE HTML><p>", OtherKind::WebPage),
            (b"{\"error\": 1}", OtherKind::Unknown),
            (b"", OtherKind::Unknown),
        ] {
            let file = [start, &[0; 300]].concat();
            assert_eq!(detect(&file), kind, "{}", String::from_utf8_lossy(start));
        }
    }
}

//! Recognises files that are not supported, so that the error message can state what the patient chose and how to send
//! a photo instead.

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
                "This is a GIF. Please send a photo as a JPEG, for example one taken with your phone."
            }
            Self::Svg => {
                "This is a drawing (SVG). Please send a photo as a JPEG, for example one taken with your \
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
                "We cannot read this file as a photo. Please send a JPEG, for example one taken with \
                 your phone."
            }
        })
    }
}

/// HEIF brands for HEVC pictures and for the less common AVC pictures (ISO/IEC 23008-12), and generic brands that
/// phones use for HEVC pictures.
const HEIC_BRANDS: [&[u8; 4]; 15] = [
    b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"avci", b"avcs",
    b"mif1", b"mif2", b"msf1", b"miaf", b"heif",
];
const AVIF_BRANDS: [&[u8; 4]; 2] = [b"avif", b"avis"];
const AUDIO_BRANDS: [&[u8; 4]; 3] = [b"M4A ", b"M4B ", b"M4P "];
/// The first letters of brands for videos (mp4ra.org).
const VIDEO_BRANDS: [&[u8]; 14] = [
    b"iso", b"mp4", b"mp7", b"avc1", b"hvc1", b"M4V", b"qt  ", b"3g", b"f4v", b"mmp4", b"MSNV",
    b"dash", b"ND", b"XAVC",
];

/// Number of bytes at the start of a text file that are searched for the root element, which comments and declarations
/// may precede.
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

/// Recognises ISO base media files (ISO/IEC 14496-12), whose first box lists their brands.
fn iso_media(file: &[u8]) -> Option<OtherKind> {
    let size = u32::from_be_bytes(*file.first_chunk()?);
    if file.get(4..8)? != b"ftyp" {
        return None;
    }
    let end = usize::try_from(size).ok()?.min(file.len());
    let (brands, _) = file.get(8..end)?.as_chunks::<4>();
    // The second word is the version of the major brand, not another brand.
    let brands = || brands.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, it)| it);
    let has = |known: &[&[u8; 4]]| brands().any(|brand| known.contains(&brand));
    if has(&AVIF_BRANDS) {
        Some(OtherKind::Avif)
    } else if has(&HEIC_BRANDS) {
        Some(OtherKind::Heic)
    } else if brands().next().is_some_and(|brand| brand == b"crx ") {
        Some(OtherKind::OtherImage)
    } else if brands().next().is_some_and(|brand| AUDIO_BRANDS.contains(&brand)) {
        Some(OtherKind::Unknown)
    } else if brands().any(|brand| VIDEO_BRANDS.iter().any(|start| brand.starts_with(start))) {
        Some(OtherKind::Video)
    } else {
        Some(OtherKind::Unknown)
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
        for brand in [b"mif2", b"miaf", b"heif", b"avci"] {
            assert_eq!(detect(&ftyp(&[brand])), OtherKind::Heic, "the only brand");
        }
        for brand in [b"isom", b"iso6", b"qt  ", b"mp42", b"M4V ", b"3gp4", b"3g2a", b"dash"] {
            assert_eq!(detect(&ftyp(&[brand])), OtherKind::Video);
            assert_eq!(detect(&ftyp(&[b"xxxx", brand])), OtherKind::Video);
        }
        assert_eq!(detect(&ftyp(&[b"M4A ", b"isom"])), OtherKind::Unknown, "an audio file");
        assert_eq!(detect(&ftyp(&[b"xxxx"])), OtherKind::Unknown, "an unknown brand");
        assert_eq!(detect(&ftyp(&[b"crx ", b"isom"])), OtherKind::OtherImage);
    }

    #[test]
    fn unsupported_kinds_of_files_are_recognised_by_their_first_bytes() {
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

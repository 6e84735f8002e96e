//! Tests that all common kinds of metadata are removed from photos.

use crate::files::{
    Chunk, Segment, contains, found, inspect, jpeg, pixels, png, png_chunks, segments, webp,
    webp_chunks,
};
use crate::png::zlib;

/// Strings in the EXIF data returned by [`exif`].
const IN_EXIF: [&str; 5] = ["Canon", "Ana Example", "SN-4711", "WGS-84", "itches"];
const XMP: &str = "<x:xmpmeta><dc:creator>Ana Xmp</dc:creator></x:xmpmeta>";
const COMMENT: &str = "Comment by Ana";
/// An MP4 video like those that phones append to photos.
const VIDEO: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08mdatAna Video";
const EMBEDDED_PHOTO: &[u8] = b"\xFF\xD8\xFF\xE1Ana Thumbnail\xFF\xD9";

/// Value of an EXIF entry.
enum Value {
    Short(u16),
    Text(&'static str),
    /// Position of another directory.
    Directory(u32),
}

/// Encodes a TIFF directory located at `start`, followed by its strings.
fn directory(start: u32, entries: &[(u16, Value)]) -> Vec<u8> {
    let count = u16::try_from(entries.len()).expect("few entries");
    let mut bytes = count.to_be_bytes().to_vec();
    let (mut texts, texts_start) = (Vec::new(), start + 2 + 12 * u32::from(count) + 4);
    for (tag, value) in entries {
        let (kind, length, value): (u16, usize, [u8; 4]) = match value {
            Value::Short(number) => (3, 1, (u32::from(*number) << 16).to_be_bytes()),
            Value::Directory(at) => (4, 1, at.to_be_bytes()),
            Value::Text(text) => {
                let at = texts_start + u32::try_from(texts.len()).expect("short texts");
                texts.extend_from_slice(text.as_bytes());
                texts.push(0);
                (2, text.len() + 1, at.to_be_bytes())
            }
        };
        let length = u32::try_from(length).expect("a short text");
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&value);
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&texts);
    bytes
}

/// Returns EXIF data containing a camera, an owner, a serial number, a position and an orientation.
fn exif() -> Vec<u8> {
    let (camera, location) = (200, 300);
    let main = [
        (0x010E, Value::Text("it itches")),
        (0x010F, Value::Text("Canon")),
        (0x0112, Value::Short(6)),
        (0x013B, Value::Text("Ana Example")),
        (0x8769, Value::Directory(camera)),
        (0x8825, Value::Directory(location)),
    ];
    let mut tiff = b"MM\0*\0\0\0\x08".to_vec();
    tiff.extend(directory(8, &main));
    tiff.resize(camera as usize, 0);
    tiff.extend(directory(camera, &[(0xA431, Value::Text("SN-4711"))]));
    tiff.resize(location as usize, 0);
    tiff.extend(directory(location, &[(0x0012, Value::Text("WGS-84"))]));
    tiff
}

/// The EXIF data expected in a copy: only the orientation, which is 6.
const ORIENTATION: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06";

/// Asserts that each text is in the file but not in its cleaned copy, and returns the copy.
fn assert_removed(file: &[u8], texts: &[&[u8]]) -> Vec<u8> {
    let cleaned = inspect(file).expect("a photo");
    for text in texts.iter().copied().chain(IN_EXIF.map(str::as_bytes)).chain([XMP.as_bytes()]) {
        let text_in_error = String::from_utf8_lossy(text);
        assert!(contains(file, text), "the photo must contain {text_in_error}");
        assert!(!contains(&cleaned, text), "the copy contains {text_in_error}");
    }
    assert!(contains(&cleaned, ORIENTATION), "the orientation is retained");
    cleaned
}

#[test]
fn metadata_in_a_jpeg_is_removed() {
    let original = segments(&found("icc_srgb.jpg"));
    let with_metadata = [
        Segment::new(0xE1, &[b"Exif\0\0", &exif()[..]].concat()),
        Segment::new(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", XMP.as_bytes()].concat()),
        Segment::new(0xE2, b"MPF\0MM\0*\0\0\0\x08"),
        Segment::new(0xED, b"Photoshop 3.0\x008BIMAna Iptc"),
        Segment::new(0xE4, EMBEDDED_PHOTO),
        Segment::new(0xFE, COMMENT.as_bytes()),
    ];
    // JFIF must remain the first segment.
    let all = [&original[..1], &with_metadata, &original[1..]].concat();
    let file = [&jpeg(&all)[..], VIDEO, EMBEDDED_PHOTO].concat();

    let cleaned = assert_removed(
        &file,
        &[
            b"http://ns.adobe.com",
            b"MPF\0",
            b"Ana Iptc",
            b"Ana Thumbnail",
            COMMENT.as_bytes(),
            b"ftyp",
            b"Ana Video",
        ],
    );
    assert!(pixels(&cleaned) == pixels(&file));
    let is_profile = |segment: &&Segment| segment.payload.starts_with(b"ICC_PROFILE\0");
    let profile = original.iter().find(is_profile).expect("a profile");
    assert!(segments(&cleaned).contains(profile), "the colour profile is unchanged");
}

fn colour_profile() -> Vec<u8> {
    let chunks = webp_chunks(&found("vp8x_flag_exif_but_no_exif.webp"));
    chunks.into_iter().find(|(name, _)| name == b"ICCP").expect("a profile").1
}

#[test]
fn metadata_in_a_png_is_removed() {
    let original = png_chunks(&found("no_iend.png"));
    let profile: Chunk = (*b"iCCP", [b"sRGB\0\0", &zlib(&colour_profile())[..]].concat());
    let compressed = zlib(COMMENT.as_bytes());
    let xmp = [b"XML:com.adobe.xmp\0\0\0\0\0", XMP.as_bytes()].concat();
    let before: [Chunk; 3] =
        [profile.clone(), (*b"eXIf", exif()), (*b"tEXt", b"Author\0Ana Author".to_vec())];
    let after: [Chunk; 5] = [
        (*b"iTXt", xmp),
        (*b"zTXt", [b"Comment\0\0", &compressed[..]].concat()),
        (*b"tIME", b"\x07\xEA\x0B\x1E\x01\x02\x03".to_vec()),
        (*b"aNAs", b"Ana Private".to_vec()),
        (*b"IEND", Vec::new()),
    ];
    let file = png(&[&original[..1], &before, &original[1..], &after].concat());
    let file = [&file[..], VIDEO].concat();

    let cleaned = assert_removed(
        &file,
        &[b"Ana Author", &compressed, b"tIME", b"Ana Private", b"ftyp", b"Ana Video"],
    );
    assert!(pixels(&cleaned) == pixels(&file));
    assert!(png_chunks(&cleaned).contains(&profile), "the colour profile is unchanged");
}

#[test]
fn metadata_in_a_webp_is_removed() {
    let mut chunks = webp_chunks(&found("vp8x_flag_exif_but_no_exif.webp"));
    let has_exif_and_xmp = 0x0C;
    chunks[0].1[0] |= has_exif_and_xmp;
    chunks.extend([
        (*b"EXIF", exif()),
        (*b"XMP ", XMP.as_bytes().to_vec()),
        (*b"ANAS", b"Ana Private".to_vec()),
    ]);
    let file = [&webp(&chunks)[..], VIDEO].concat();

    let cleaned = assert_removed(&file, &[b"Ana Private", b"ftyp", b"Ana Video"]);
    assert!(pixels(&cleaned) == pixels(&file));
    let profile = (*b"ICCP", colour_profile());
    assert!(webp_chunks(&cleaned).contains(&profile), "the colour profile is unchanged");
}

//! Tests with files from bug reports of other projects (`tests/found`). A JPEG, PNG or WebP that a current browser
//! displays completely is accepted. Any other file is refused for the correct reason.

use diagflow_photos::{
    Format, OtherKind, Rejection, check_and_clean, read_header, without_metadata,
};
use image::{ImageFormat, load_from_memory_with_format};
use std::fs;
use std::path::Path;

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn inspect(file: &[u8]) -> Result<(Format, Vec<u8>), Rejection> {
    let format = read_header(file)?.format;
    Ok((format, check_and_clean(file, format)?))
}

fn pixels(file: &[u8], format: Format) -> Option<Vec<u8>> {
    let format = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
    };
    Some(load_from_memory_with_format(file, format).ok()?.into_bytes())
}

const ACCEPTED: [&str; 24] = [
    "animated.png",
    "animated.webp",
    "app5_length_2_galaxy_s8.jpg",
    "cmyk_adobe.jpg",
    "exif_orientation_3.jpg",
    "exif_orientation_6.jpg",
    "exif_orientation_6.png",
    "exif_orientation_6.webp",
    "exif_orientation_8.jpg",
    "exif_thumbnail.jpg",
    "icc_srgb.jpg",
    "interlaced.png",
    "motion_photo.jpg",
    "mpo_two_frames.jpg",
    "no_eoi_baseline.jpg",
    "no_eoi_progressive.jpg",
    "no_iend.png",
    "one_pixel.png",
    "progressive.jpg",
    "rgb16.png",
    "samsung_invalid_sos_parameters.jpg",
    "trailing_text.jpg",
    "vp8x_flag_exif_but_no_exif.webp",
    "ycck.jpg",
];

#[test]
fn photos_that_browsers_display_completely_are_accepted_with_unchanged_pixels() {
    for name in ACCEPTED {
        let file = read(name);
        let (format, cleaned) = inspect(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cleaned_pixels = pixels(&cleaned, format);
        assert!(cleaned_pixels.is_some(), "{name} cannot be decoded after cleaning");
        // The decoder used by this test does not accept every original photo.
        if let Some(original) = pixels(&file, format) {
            assert!(Some(original) == cleaned_pixels, "the pixels of {name} have changed");
        }
    }
}

#[test]
fn cleaning_a_photo_again_does_not_change_it() {
    for name in ACCEPTED {
        let (format, cleaned) = inspect(&read(name)).expect(name);
        assert!(without_metadata(&cleaned, format).as_ref() == Ok(&cleaned), "{name}");
    }
}

#[test]
fn unsupported_files_are_refused_for_the_correct_reason() {
    for (name, expected) in [
        ("arithmetic.jpg", Rejection::UnsupportedJpeg),
        ("twelve_bit.jpg", Rejection::UnsupportedJpeg),
        ("lossless_sof3.jpg", Rejection::UnsupportedJpeg),
        ("cut_half.jpg", Rejection::Damaged),
        ("cut_half_eoi_glued.jpg", Rejection::Damaged),
        ("cut_half.png", Rejection::Damaged),
        ("cut_half.webp", Rejection::Damaged),
        ("half_the_rows.png", Rejection::Damaged),
        ("empty.jpg", Rejection::OtherKind(OtherKind::Unknown)),
        ("html.jpg", Rejection::OtherKind(OtherKind::WebPage)),
        ("drawing.svg", Rejection::OtherKind(OtherKind::Svg)),
        ("iphone.heic", Rejection::OtherKind(OtherKind::Heic)),
        ("mif1_only.heic", Rejection::OtherKind(OtherKind::Heic)),
        ("photo.avif", Rejection::OtherKind(OtherKind::Avif)),
        ("photo.gif", Rejection::OtherKind(OtherKind::Gif)),
        ("scan.pdf", Rejection::OtherKind(OtherKind::Pdf)),
        ("video.mp4", Rejection::OtherKind(OtherKind::Video)),
    ] {
        assert_eq!(inspect(&read(name)).map(|(format, _)| format), Err(expected), "{name}");
    }
}

#[test]
fn metadata_is_removed_except_for_orientation_and_colour_profile() {
    let contains = |file: &[u8], text: &[u8]| file.windows(text.len()).any(|it| it == text);
    for (name, text) in [
        ("motion_photo.jpg", &b"http://ns.adobe.com"[..]),
        ("motion_photo.jpg", b"ftyp"),
        ("mpo_two_frames.jpg", b"MPF\0"),
        ("exif_thumbnail.jpg", b"Exif\0"),
    ] {
        let file = read(name);
        let (_, cleaned) = inspect(&file).expect(name);
        let text_in_error = String::from_utf8_lossy(text);
        assert!(contains(&file, text), "{name} must contain {text_in_error}");
        assert!(!contains(&cleaned, text), "the cleaned {name} contains {text_in_error}");
    }
    for name in ACCEPTED {
        let (_, cleaned) = inspect(&read(name)).expect(name);
        let is_turned = name.starts_with("exif_orientation");
        let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12";
        assert_eq!(contains(&cleaned, tiff), is_turned, "{name}");
    }
    let (_, cleaned) = inspect(&read("icc_srgb.jpg")).expect("a photo");
    assert!(contains(&cleaned, b"ICC_PROFILE\0"));
    let (_, cleaned) = inspect(&read("exif_thumbnail.jpg")).expect("a photo");
    let starts = cleaned.windows(2).filter(|it| *it == [0xFF, 0xD8]).count();
    assert_eq!(starts, 1, "the thumbnail was not removed");
}

#[test]
fn a_truncated_photo_is_refused() {
    for name in
        ["progressive.jpg", "no_eoi_baseline.jpg", "exif_orientation_6.png", "animated.webp"]
    {
        let file = read(name);
        // The end marker and the end of the last block may be missing.
        let needed = file.len() - 24;
        for length in (0..needed).step_by(7) {
            assert!(inspect(&file[..length]).is_err(), "{name} cut to {length} of {needed} bytes");
        }
        assert!(inspect(&file).is_ok(), "{name}");
    }
}

#[test]
fn corrupting_a_byte_does_not_cause_a_panic() {
    for name in
        ["progressive.jpg", "one_pixel.png", "interlaced.png", "animated.webp", "icc_srgb.jpg"]
    {
        let mut file = read(name);
        for at in (0..file.len()).step_by(101) {
            let original = file[at];
            for changed in [0, 0xFF, original ^ 0x10] {
                file[at] = changed;
                let _ = inspect(&file);
            }
            file[at] = original;
        }
    }
}

#[test]
fn a_photo_without_an_end_marker_may_be_followed_by_any_data() {
    for name in ["no_eoi_baseline.jpg", "no_eoi_progressive.jpg"] {
        let (_, cleaned) = inspect(&read(name)).expect(name);
        for rest in [
            &b"\xFF\x02\xFF\xDA\0\x01video"[..],
            b"\xFF\xE0\0\x05",
            // This text looks like more data from the last scan.
            b"Ana Example, born in 1970",
            b"Ana Example\xFF\xD0, born in\xFF\0 1970\xFF\xD9",
        ] {
            let file = [&read(name)[..], rest].concat();
            assert!(inspect(&file).is_ok(), "{name} and {rest:?}");
            let same = without_metadata(&file, Format::Jpeg).as_ref() == Ok(&cleaned);
            assert!(same, "{name} must be sent without {rest:?}");
        }
    }
}

#[test]
fn text_between_the_last_block_and_the_end_marker_is_removed() {
    for name in ["icc_srgb.jpg", "progressive.jpg"] {
        let file = read(name);
        let (_, cleaned) = inspect(&file).expect(name);
        let end = file.windows(2).rposition(|it| it == [0xFF, 0xD9]).expect("an end marker");
        let with_text = [&file[..end], b"Ana Example", &file[end..]].concat();
        let (_, cleaned_of_text) = inspect(&with_text).expect(name);
        assert!(cleaned_of_text == cleaned, "{name}");
    }
}

#[test]
fn a_png_with_a_damaged_chunk_or_a_missing_frame_is_refused() {
    let mut file = read("one_pixel.png");
    let data = file.windows(4).position(|it| it == b"IDAT").expect("a chunk") + 4;
    file[data + 5] ^= 1;
    assert!(inspect(&file).is_err(), "the checksum is wrong");
    let animated = read("animated.png");
    assert!(inspect(&animated[..animated.len() - 13]).is_err(), "a frame is missing");
}

#[test]
fn a_webp_whose_actual_size_differs_from_the_declared_size_is_refused() {
    let mut file = read("vp8x_flag_exif_but_no_exif.webp");
    let canvas = file.windows(4).position(|it| it == b"VP8X").expect("a chunk") + 8 + 4;
    file[canvas..canvas + 6].fill(0);
    assert_eq!(inspect(&file).map(|(format, _)| format), Err(Rejection::Damaged));
}

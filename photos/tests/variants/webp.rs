use crate::files::{Chunk, contains, found, inspect, pixels, webp, webp_chunks};
use diagflow_photos::{Format, Rejection, read_header, structural_copy};

const HAS_ALPHA: u8 = 0x10;
const IS_ANIMATED: u8 = 0x02;

fn flags(file: &[u8]) -> u8 {
    webp_chunks(file)[0].1[0]
}

#[test]
fn a_photo_that_still_declares_a_removed_alpha_channel_is_accepted() {
    let original = found("vp8x_flag_exif_but_no_exif.webp");
    let mut chunks = webp_chunks(&original);
    chunks[0].1[0] |= HAS_ALPHA;
    let cleaned = inspect(&webp(&chunks)).expect("a photo");
    assert_eq!(flags(&cleaned) & HAS_ALPHA, 0);
    let expected = inspect(&original).expect("a photo");
    assert!(cleaned == expected);
    assert!(!pixels(&cleaned).is_empty());

    let mut animated = webp_chunks(&found("animated.webp"));
    animated[0].1[0] |= HAS_ALPHA;
    let cleaned = inspect(&webp(&animated)).expect("an animation");
    assert_eq!(flags(&cleaned), HAS_ALPHA | IS_ANIMATED, "frames may have an alpha channel");
}

#[test]
fn a_lossless_photo_may_be_at_most_16383_pixels_wide_and_high() {
    let header = |width: u32, height: u32| {
        let size = ((height - 1) << 14 | (width - 1)).to_le_bytes();
        let chunk: Chunk = (*b"VP8L", [&[0x2F], &size[..], &[0]].concat());
        read_header(&webp(&[chunk])).map(|header| (header.width, header.height))
    };
    assert_eq!(header(16_383, 2), Ok((16_383, 2)));
    assert_eq!(header(2, 16_383), Ok((2, 16_383)));
    assert_eq!(header(16_384, 2), Err(Rejection::TooLarge));
    assert_eq!(header(2, 16_384), Err(Rejection::TooLarge));
}

#[test]
fn extra_data_in_a_header_chunk_is_removed() {
    for name in ["vp8x_flag_exif_but_no_exif.webp", "animated.webp"] {
        let original = found(name);
        let mut chunks = webp_chunks(&original);
        for (name, data) in &mut chunks {
            if matches!(&*name, b"VP8X" | b"ANIM") {
                data.extend_from_slice(b"Ana Example");
            }
        }
        let file = webp(&chunks);
        assert!(contains(&file, b"Ana Example"));
        assert!(inspect(&file) == inspect(&original), "{name}");
    }
}

#[test]
fn a_structural_copy_has_no_metadata_even_if_the_photo_is_incomplete() {
    let mut chunks = webp_chunks(&found("animated.webp"));
    chunks.insert(1, (*b"XMP ", b"Ana Example".to_vec()));
    let complete = webp(&chunks);
    let file = &complete[..complete.len() - 100];
    assert_eq!(inspect(file), Err(Rejection::Damaged));
    let copy = structural_copy(file, Format::WebP).expect("a WebP");
    assert!(!contains(&copy, b"Ana"));
    assert_eq!(webp_chunks(&copy).len(), 4, "header, animation and both frames");
}

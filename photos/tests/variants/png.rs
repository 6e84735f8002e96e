use crate::files::{Chunk, contains, found, inspect, pixels, png, png_chunks};
use diagflow_photos::Rejection;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

/// Returns a photo of one pixel whose colour is in a palette.
fn indexed(palette: Option<&[u8]>) -> Vec<u8> {
    let mut chunks: Vec<Chunk> = vec![(*b"IHDR", b"\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0".to_vec())];
    chunks.extend(palette.map(|palette| (*b"PLTE", palette.to_vec())));
    chunks.extend([(*b"IDAT", zlib(&[0, 0])), (*b"IEND", Vec::new())]);
    png(&chunks)
}

#[test]
fn a_photo_with_indexed_colours_needs_a_palette() {
    let with_palette = indexed(Some(&[1, 2, 3]));
    assert_eq!(inspect(&with_palette), Ok(with_palette));
    for wrong in [None, Some(&[][..]), Some(&[1, 2, 3, 4][..]), Some(&[0; 771][..])] {
        assert_eq!(inspect(&indexed(wrong)), Err(Rejection::Damaged), "{wrong:?}");
    }
}

#[test]
fn data_after_the_compressed_pixels_is_removed() {
    for name in ["exif_orientation_6.png", "interlaced.png", "animated.png"] {
        let original = found(name);
        let expected = inspect(&original).expect("a photo");
        let is_data = |(name, _): &Chunk| name == b"IDAT";
        let mut chunks = png_chunks(&original);
        let last = chunks.iter().rposition(is_data).expect("pixels");
        chunks[last].1.extend_from_slice(b"Ana Example");
        let in_one_chunk = png(&chunks);
        chunks.insert(last + 1, (*b"IDAT", b"born in 1970".to_vec()));
        let in_two_chunks = png(&chunks);
        for file in [in_one_chunk, in_two_chunks] {
            let cleaned = inspect(&file).expect("a photo");
            assert!(cleaned == expected, "{name}");
        }
        assert!(pixels(&expected) == pixels(&original), "{name}");
    }
}

#[test]
fn a_damaged_chunk_is_not_repaired() {
    let mut chunks = png_chunks(&found("no_iend.png"));
    chunks[1].1.extend_from_slice(b"more");
    let mut file = png(&chunks);
    *file.last_mut().expect("a checksum") ^= 1;
    assert_eq!(inspect(&file), Err(Rejection::Damaged));
}

#[test]
fn an_ancillary_chunk_of_the_wrong_length_is_removed() {
    let mut chunks = png_chunks(&found("one_pixel.png"));
    let expected = inspect(&png(&chunks));
    chunks.insert(1, (*b"pHYs", b"\0\0\0\x01\0\0\0\x01\0Ana Example".to_vec()));
    let cleaned = inspect(&png(&chunks));
    assert!(cleaned == expected);
    assert!(!contains(&cleaned.expect("a photo"), b"Ana"));
}

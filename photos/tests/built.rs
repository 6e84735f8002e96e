//! Tests with unusual photos, built from JPEG segments (ITU T.81, annex B) or WebP chunks.

use diagflow_photos::{Format, Rejection, check_and_clean, read_header};

const END: &[u8] = &[0xFF, 0xD9];
/// AC codes for empty blocks: four end-of-block codes, and one code for a run of 32,767 blocks.
const NO_COEFFICIENTS_IN_4_BLOCKS: &[u8] = &[0b0000_1111];
const NO_COEFFICIENTS_IN_32767_BLOCKS: &[u8] = &[0b1011_1111, 0xFF, 0];

fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).expect("a short segment");
    [&[0xFF, marker][..], &length.to_be_bytes(), payload].concat()
}

/// Returns a progressive photo up to its first scan, with components 0, 1, … at full resolution.
fn start(side: u16, components: u8) -> Vec<u8> {
    let side = side.to_be_bytes();
    let mut frame = [&[8][..], &side, &side, &[components]].concat();
    (0..components).for_each(|id| frame.extend([id, 0x11, 0]));
    // Each table contains the number of codes of each length from 1 to 16 bits, followed by their symbols.
    let (mut dc, mut ac) = (vec![0; 17], vec![0; 17]);
    (dc[0], ac[0]) = (0x00, 0x10);
    (dc[1], ac[1], ac[2]) = (1, 1, 1);
    dc.push(0);
    ac.extend([0x00, 0xE0]);
    let tables = [segment(0xDB, &[0; 65]), segment(0xC4, &dc), segment(0xC4, &ac)].concat();
    [&[0xFF, 0xD8][..], &segment(0xC2, &frame), &tables].concat()
}

/// `missing_bits` is the number of low bits per coefficient that follow in later scans.
fn scan(components: &[u8], (first, last): (u8, u8), missing_bits: u8, data: &[u8]) -> Vec<u8> {
    let mut header = vec![u8::try_from(components.len()).expect("few")];
    components.iter().for_each(|id| header.extend([*id, 0x00]));
    header.extend([first, last, missing_bits]);
    [&segment(0xDA, &header)[..], data].concat()
}

fn inspect(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    assert_eq!(read_header(file)?.format, Format::Jpeg);
    check_and_clean(file, Format::Jpeg)
}

#[test]
fn a_progressive_photo_with_four_components_is_accepted_when_it_is_complete() {
    // The photo has four blocks per component.
    let mut file = start(16, 4);
    file.extend(scan(&[0, 1, 2, 3], (0, 0), 0, &[0, 0]));
    for component in 0..4 {
        assert_eq!(inspect(&file), Err(Rejection::Damaged), "without component {component}");
        file.extend(scan(&[component], (1, 63), 0, NO_COEFFICIENTS_IN_4_BLOCKS));
    }
    let complete = [&file[..], END].concat();
    assert_eq!(inspect(&file), Ok(complete.clone()), "the end marker may be missing");
    assert_eq!(inspect(&complete), Ok(complete.clone()));
    assert_eq!(inspect(&[&file[..], b"more", END].concat()), Ok(complete));
}

/// A scan of a few bytes can cover a whole photo, so limiting the number of scans also bounds the CPU time that a small
/// file can use.
#[test]
fn the_number_of_scans_is_limited() {
    const BLOCKS: usize = 512 * 512;
    let mut file = start(4096, 1);
    file.extend(scan(&[0], (0, 0), 0, &[0; BLOCKS / 8]));
    let empty = NO_COEFFICIENTS_IN_32767_BLOCKS.repeat(BLOCKS.div_ceil(32_767));
    for _ in 1..100 {
        file.extend(scan(&[0], (1, 63), 1, &empty));
    }
    assert!(file.len() < 50_000, "{}", file.len());
    assert!(inspect(&[&file[..], END].concat()).is_ok(), "100 scans");
    file.extend(scan(&[0], (1, 63), 1, &empty));
    assert_eq!(inspect(&[&file[..], END].concat()), Err(Rejection::UnsupportedJpeg), "101 scans");
}

#[test]
fn decoding_memory_depends_on_the_kind_of_webp() {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_le_bytes();
        [&name[..], &length, data].concat()
    };
    let file = |chunks: &[Vec<u8>]| {
        let rest = [&b"WEBP"[..], &chunks.concat()].concat();
        chunk(b"RIFF", &rest)
    };
    // Each image has one pixel.
    let extended = |flags: u8| chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let lossy = chunk(b"VP8 ", &[0, 0, 0, 0x9D, 0x01, 0x2A, 1, 0, 1, 0]);
    let lossless = chunk(b"VP8L", &[0x2F, 0, 0, 0, 0, 0]);
    for (chunks, expected) in [
        (vec![lossy.clone()], 6),
        (vec![extended(0), lossy.clone()], 6),
        (vec![lossless], 8),
        (vec![extended(0x10), chunk(b"ALPH", &[0, 0]), lossy], 11),
        (vec![extended(0x02)], 13),
    ] {
        let header = read_header(&file(&chunks)).expect("a header");
        assert_eq!((header.pixels(), header.decoding_bytes), (1, expected));
    }
}

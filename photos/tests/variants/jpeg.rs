use crate::files::{Segment, contains, found, inspect, jpeg, pixels, segments};
use diagflow_photos::{Format, Rejection, read_header, structural_copy, without_metadata};

const SEQUENTIAL_FRAME: u8 = 0xC0;
const HUFFMAN_TABLES: u8 = 0xC4;
const SCAN: u8 = 0xDA;
const QUANTIZATION_TABLES: u8 = 0xDB;

/// Returns the photo `name` with its segments modified by `change`.
fn changed(name: &str, change: impl FnOnce(&mut Vec<Segment>)) -> Vec<u8> {
    let mut segments = segments(&found(name));
    change(&mut segments);
    jpeg(&segments)
}

/// Returns a sequential photo with its segments modified by `change`.
fn sequential(change: impl FnOnce(&mut Vec<Segment>)) -> Vec<u8> {
    changed("icc_srgb.jpg", change)
}

fn first(segments: &mut [Segment], marker: u8) -> &mut Segment {
    segments.iter_mut().find(|segment| segment.marker == marker).expect("a segment")
}

fn insert_before_scan(segments: &mut Vec<Segment>, marker: u8, payload: &[u8]) {
    let scan = segments.iter().position(|segment| segment.marker == SCAN).expect("a scan");
    segments.insert(scan, Segment::new(marker, payload));
}

/// Sets a value of each component in a frame header: its id (0), sampling factors (1) or quantization table (2).
fn set_in_frame(segments: &mut [Segment], at: usize, values: [u8; 3]) {
    let frame = first(segments, SEQUENTIAL_FRAME);
    (0..3).for_each(|component| frame.payload[6 + 3 * component + at] = values[component]);
}

#[test]
fn the_standard_huffman_tables_are_added_to_a_motion_jpeg_frame() {
    let without_tables = |segments: &mut Vec<Segment>| {
        segments.retain(|segment| segment.marker != HUFFMAN_TABLES);
    };
    let cleaned = inspect(&sequential(without_tables)).expect("a photo");
    assert!(pixels(&cleaned) == pixels(&found("icc_srgb.jpg")));
    let tables = segments(&cleaned).into_iter().filter(|it| it.marker == HUFFMAN_TABLES).count();
    assert_eq!(tables, 4, "the copy contains the tables");
    assert_eq!(inspect(&cleaned), Ok(cleaned.clone()));
    assert_eq!(inspect(&changed("progressive.jpg", without_tables)), Err(Rejection::Damaged));
}

#[test]
fn components_may_share_an_id_but_must_not_be_scanned_twice() {
    let with_ids = |in_frame: [u8; 3], in_scan: [u8; 3]| {
        sequential(|segments| {
            set_in_frame(segments, 0, in_frame);
            let scan = first(segments, SCAN);
            (0..3).for_each(|component| scan.payload[1 + 2 * component] = in_scan[component]);
        })
    };
    let same = with_ids([1, 1, 1], [1, 1, 1]);
    assert_eq!(inspect(&same), Ok(same));
    for (in_frame, in_scan) in [
        ([1, 2, 3], [1, 1, 3]),
        ([1, 2, 3], [2, 1, 3]),
        ([1, 1, 2], [1, 2, 1]),
        ([1, 2, 3], [1, 2, 4]),
    ] {
        let file = with_ids(in_frame, in_scan);
        assert_eq!(inspect(&file), Err(Rejection::Damaged), "{in_frame:?}, {in_scan:?}");
    }
}

#[test]
fn the_byte_0xff_may_be_repeated_in_a_scan() {
    let file = sequential(|segments| {
        let data = &mut first(segments, SCAN).data;
        let at = data.windows(2).position(|pair| pair == [0xFF, 0]).expect("a stuffed byte");
        data.splice(at..at, [0xFF, 0xFF]);
    });
    assert_eq!(inspect(&file), Ok(file));
}

#[test]
fn every_component_needs_a_quantization_table() {
    let without_tables = |segments: &mut Vec<Segment>| {
        segments.retain(|segment| segment.marker != QUANTIZATION_TABLES);
    };
    let wrong_number = |segments: &mut Vec<Segment>| set_in_frame(segments, 2, [0, 3, 1]);
    let number_too_large = |segments: &mut Vec<Segment>| set_in_frame(segments, 2, [0, 255, 1]);
    let truncated = |segments: &mut Vec<Segment>| {
        _ = first(segments, QUANTIZATION_TABLES).payload.pop();
    };
    for file in [
        sequential(without_tables),
        changed("progressive.jpg", without_tables),
        sequential(wrong_number),
        sequential(number_too_large),
        sequential(truncated),
    ] {
        assert_eq!(inspect(&file), Err(Rejection::Damaged));
    }
    let with_16_bits = sequential(|segments| {
        let table = &mut first(segments, QUANTIZATION_TABLES).payload;
        *table = [0x10].into_iter().chain(table[1..].iter().flat_map(|it| [0, *it])).collect();
    });
    assert_eq!(inspect(&with_16_bits), Ok(with_16_bits));
}

#[test]
fn segments_that_browsers_ignore_are_removed() {
    let expected = inspect(&found("icc_srgb.jpg"));
    // The markers introduce the number of lines, arithmetic coding, application segments and a comment.
    for marker in [0xDC, 0xCC, 0xE0, 0xE1, 0xE2, 0xE5, 0xED, 0xEE, 0xEF, 0xFE] {
        let file = sequential(|segments| insert_before_scan(segments, marker, b"Ana Example"));
        assert!(inspect(&file) == expected, "{marker:x}");
    }
}

#[test]
fn hierarchical_photos_and_extensions_are_not_supported() {
    for marker in [0xC8, 0xDE, 0xDF, 0xF0, 0xF7, 0xFD] {
        let file = sequential(|segments| insert_before_scan(segments, marker, b"Ana Example"));
        assert_eq!(inspect(&file), Err(Rejection::UnsupportedJpeg), "{marker:x}");
    }
}

#[test]
fn an_application_segment_may_have_an_invalid_length() {
    let file = found("icc_srgb.jpg");
    for (marker, length) in [(0xE5, 0), (0xE5, 1), (0xFE, 0)] {
        let with_segment = [&file[..2], &[0xFF, marker, 0, length], &file[2..]].concat();
        assert!(inspect(&with_segment) == inspect(&file), "{marker:x}, {length}");
    }
    let with_table = [&file[..2], &[0xFF, HUFFMAN_TABLES, 0, 0], &file[2..]].concat();
    assert_eq!(inspect(&with_table), Err(Rejection::Damaged));
}

#[test]
fn component_resolutions_must_divide_the_full_resolution() {
    let with_sampling = |values| sequential(|segments| set_in_frame(segments, 1, values));
    let quarter = with_sampling([0x41, 0x11, 0x11]);
    assert_eq!(inspect(&quarter), Ok(quarter));
    for two_thirds in [[0x31, 0x21, 0x11], [0x13, 0x12, 0x11]] {
        let file = with_sampling(two_thirds);
        assert_eq!(inspect(&file), Err(Rejection::UnsupportedJpeg), "{two_thirds:x?}");
    }
}

#[test]
fn a_photo_may_be_at_most_65500_pixels_wide_and_high() {
    let header = |at: usize, size: u16| {
        let file = sequential(|segments| {
            let frame = first(segments, SEQUENTIAL_FRAME);
            frame.payload[at..at + 2].copy_from_slice(&size.to_be_bytes());
        });
        read_header(&file).map(|header| header.width.max(header.height))
    };
    for at in [1, 3] {
        assert_eq!(header(at, 65_500), Ok(65_500));
        assert_eq!(header(at, 65_501), Err(Rejection::TooLarge));
    }
}

/// Returns a progressive photo with its scans modified by `change`.
fn with_scans(change: impl FnOnce(&mut Vec<&mut Segment>)) -> Vec<u8> {
    changed("progressive.jpg", |segments| {
        let scans = segments.iter_mut().filter(|segment| segment.marker == SCAN);
        change(&mut scans.collect());
    })
}

#[test]
fn each_scan_must_add_bits_in_the_correct_order() {
    // The last byte contains the numbers of missing bits before and after the scan.
    let with_missing_bits = |scan: usize, bits: u8| {
        with_scans(|scans| *scans[scan].payload.last_mut().expect("a header") = bits)
    };
    for (scan, bits) in [(9, 0x20), (9, 0x11), (1, 0x0E)] {
        let file = with_missing_bits(scan, bits);
        assert_eq!(inspect(&file), Err(Rejection::Damaged), "scan {scan}, {bits:x}");
    }
    assert!(inspect(&with_missing_bits(9, 0x10)).is_ok(), "the original value");
}

/// Browsers blur a photo with missing coefficients. Such a photo usually comes from a program that added an end marker
/// to a truncated file.
#[test]
fn a_progressive_photo_with_missing_coefficients_is_refused() {
    let with_scans = |count: usize| {
        changed("progressive.jpg", |segments| {
            let mut scans = 0;
            segments.retain(|segment| {
                scans += usize::from(segment.marker == SCAN);
                segment.marker != SCAN || scans <= count
            });
        })
    };
    for count in 1..5 {
        assert_eq!(inspect(&with_scans(count)), Err(Rejection::Damaged), "{count} scans");
    }
    for count in 5..=10 {
        assert!(inspect(&with_scans(count)).is_ok(), "{count} scans cover every coefficient");
    }
}

#[test]
fn extra_data_in_an_adobe_segment_is_removed() {
    let expected = inspect(&found("cmyk_adobe.jpg"));
    let file = changed("cmyk_adobe.jpg", |segments| {
        first(segments, 0xEE).payload.extend_from_slice(b"Ana Example");
    });
    assert!(inspect(&file) == expected);
    let cleaned = expected.expect("a photo");
    assert!(contains(&cleaned, b"Adobe") && !contains(&cleaned, b"Ana"));
}

#[test]
fn the_orientation_is_found_after_any_padding() {
    let expected = inspect(&found("exif_orientation_6.jpg"));
    let file = changed("exif_orientation_6.jpg", |segments| {
        let exif = &mut first(segments, 0xE1).payload;
        assert!(exif.starts_with(b"Exif\0\0"));
        exif[5] = 0xFF;
    });
    assert!(inspect(&file) == expected);
}

#[test]
fn a_structural_copy_has_no_metadata_even_if_the_photo_is_incomplete() {
    for name in ["cut_half.jpg", "cut_half_eoi_glued.jpg", "no_eoi_progressive.jpg"] {
        let mut file = found(name);
        file.splice(2..2, *b"\xFF\xFE\0\x0DAna Example");
        let copy = structural_copy(&file, Format::Jpeg).expect("a JPEG");
        assert!(!contains(&copy, b"Ana"), "{name}");
        let scans = |file| {
            let is_scan = |segment: &Segment| segment.marker == SCAN;
            segments(file).into_iter().filter(is_scan).collect::<Vec<_>>()
        };
        let with_end = [&file[..], &[0xFF, 0xD9]].concat();
        assert!(scans(&copy) == scans(&with_end), "{name}");
    }
    let complete = found("motion_photo.jpg");
    let copy = structural_copy(&complete, Format::Jpeg);
    assert!(copy == without_metadata(&complete, Format::Jpeg));
    assert_eq!(structural_copy(b"\xFF\xD8\xFF", Format::Jpeg), Err(Rejection::Damaged));
}

//! Copies a JPEG without its metadata.

use super::segments::{Part, Segments, marker};
use crate::exif::{self, Orientation, orientation};
use crate::rejection::Rejection;

const JFIF: &[u8] = b"JFIF\0";
/// Bytes of the JFIF segment before its thumbnail.
const JFIF_LENGTH: usize = 14;
/// Offset in a frame segment.
const COMPONENT_COUNT: usize = 5;
const COLOUR_PROFILE: &[u8] = b"ICC_PROFILE\0";
/// Adobe's segment decides how colours are read.
const ADOBE: &[u8] = b"Adobe";

/// Copies what decoding needs, the colour profile and the orientation. Data after the end marker is dropped.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut cleaned = Vec::with_capacity(file.len());
    cleaned.extend_from_slice(&[0xFF, marker::SOI]);
    let turned = find_orientation(file)?;
    let mut has_orientation = turned.is_none();
    // A sequential photo usually has one scan, with all components.
    let (mut has_scan, mut sequential_components) = (false, None);
    for part in Segments::of(file)? {
        let part = match part {
            Ok(part) => part,
            // Without an end marker, anything can follow the last scan. `check_complete` decides.
            Err(_) if has_scan => break,
            Err(rejection) => return Err(rejection),
        };
        // EXIF comes first, or directly after JFIF.
        let is_jfif = matches!(part, Part::Segment { marker: marker::APP0, .. });
        if let (false, false, Some(turned)) = (has_orientation, is_jfif, turned) {
            push(&mut cleaned, marker::APP1, &[exif::PREFIX, &turned.to_tiff()].concat());
            has_orientation = true;
        }
        match part {
            Part::Scan { header, data } => {
                push(&mut cleaned, marker::SOS, header);
                cleaned.extend_from_slice(data);
                has_scan = true;
                if header.first() == sequential_components.as_ref() {
                    break;
                }
            }
            Part::Segment { marker: marker::APP0, payload } => {
                if let Some(jfif) = payload.get(..JFIF_LENGTH).filter(|it| it.starts_with(JFIF)) {
                    // Without the size of the thumbnail.
                    let jfif = [&jfif[..JFIF_LENGTH - 2], &[0, 0]].concat();
                    push(&mut cleaned, marker::APP0, &jfif);
                }
            }
            Part::Segment { marker: found, payload } if is_retained(found, payload) => {
                if matches!(found, marker::SOF0..marker::SOF2) {
                    sequential_components = payload.get(COMPONENT_COUNT).copied();
                }
                push(&mut cleaned, found, payload);
            }
            Part::Segment { .. } => {}
        }
    }
    cleaned.extend_from_slice(&[0xFF, marker::EOI]);
    Ok(cleaned)
}

fn find_orientation(file: &[u8]) -> Result<Option<Orientation>, Rejection> {
    for part in Segments::of(file)? {
        match part? {
            Part::Segment { marker: marker::APP1, payload }
                if payload.starts_with(exif::PREFIX) =>
            {
                return Ok(orientation(payload));
            }
            Part::Scan { .. } => break,
            Part::Segment { .. } => {}
        }
    }
    Ok(None)
}

fn is_retained(found: u8, payload: &[u8]) -> bool {
    match found {
        marker::APP2 => payload.starts_with(COLOUR_PROFILE),
        marker::APP14 => payload.starts_with(ADOBE),
        marker::APP0..=marker::APP15 | marker::COM => false,
        _ => true,
    }
}

fn push(cleaned: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    let length =
        u16::try_from(payload.len() + 2).expect("a segment of the original, or a short one");
    cleaned.extend_from_slice(&[0xFF, marker]);
    cleaned.extend_from_slice(&length.to_be_bytes());
    cleaned.extend_from_slice(payload);
}

//! Copies a JPEG without its metadata.

use super::check::Checker;
use super::segments::{Part, Segments, marker};
use crate::exif::{self, Orientation, orientation};
use crate::rejection::Rejection;

const JFIF: &[u8] = b"JFIF\0";
/// Number of bytes in the JFIF segment before its thumbnail.
const JFIF_LENGTH: usize = 14;
const COLOUR_PROFILE: &[u8] = b"ICC_PROFILE\0";
/// Prefix of Adobe's segment, which determines how decoders interpret the colours.
const ADOBE: &[u8] = b"Adobe";
const ADOBE_LENGTH: usize = 12;

/// Copies the segments needed for decoding, the colour profile and the orientation. Drops any data after the last
/// block, whether or not there is an end marker. Fails if the photo is incomplete.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut copy = CleanCopy::new(file, find_orientation(file)?);
    let mut checker = Checker::default();
    let mut parts = Segments::of(file)?;
    while !checker.is_complete()
        && let Some(part) = parts.next()
    {
        match part? {
            Part::Scan { header, data } => {
                let scan = checker.scan(header, data)?;
                for table in scan.standard_tables {
                    copy.push_retained(marker::DHT, table);
                }
                copy.push_scan(header, &data[..scan.length]);
            }
            Part::Segment { marker, payload } => {
                if let Some(retained) = copy.push_segment(marker, payload) {
                    checker.segment(marker, retained)?;
                }
            }
        }
    }
    if !checker.may_end(parts.has_end_marker) {
        return Err(Rejection::Damaged);
    }
    Ok(copy.finish())
}

/// Copies the same segments as [`without_metadata`], but does not check the photo. Data between the last block of a
/// scan and the next marker is retained.
pub(crate) fn structural_copy(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut copy = CleanCopy::new(file, find_orientation(file).unwrap_or(None));
    let mut has_scan = false;
    for part in Segments::of(file)? {
        match part {
            Ok(Part::Scan { header, data }) => {
                copy.push_scan(header, data);
                has_scan = true;
            }
            Ok(Part::Segment { marker, payload }) => _ = copy.push_segment(marker, payload),
            Err(_) if has_scan => break,
            Err(error) => return Err(error),
        }
    }
    Ok(copy.finish())
}

fn find_orientation(file: &[u8]) -> Result<Option<Orientation>, Rejection> {
    for part in Segments::of(file)? {
        match part? {
            Part::Segment { marker: marker::APP1, payload } => {
                if let Some(tiff) = exif::without_prefix(payload) {
                    return Ok(orientation(tiff));
                }
            }
            Part::Scan { .. } => break,
            Part::Segment { .. } => {}
        }
    }
    Ok(None)
}

/// A copy in progress, which contains no metadata segments.
struct CleanCopy {
    bytes: Vec<u8>,
    /// Orientation that has not been written yet.
    orientation: Option<Orientation>,
}

impl CleanCopy {
    fn new(file: &[u8], orientation: Option<Orientation>) -> Self {
        let mut bytes = Vec::with_capacity(file.len());
        bytes.extend_from_slice(&[0xFF, marker::SOI]);
        Self { bytes, orientation }
    }

    /// Copies a segment unless it is metadata, and returns the part that was copied.
    fn push_segment<'a>(&mut self, found: u8, payload: &'a [u8]) -> Option<&'a [u8]> {
        let retained = retained(found, payload)?;
        if found == marker::APP0 {
            // The thumbnail is removed, so its size is set to zero.
            let jfif = [&retained[..JFIF_LENGTH - 2], &[0, 0]].concat();
            push(&mut self.bytes, found, &jfif);
        } else {
            self.push_retained(found, retained);
        }
        Some(retained)
    }

    fn push_retained(&mut self, found: u8, payload: &[u8]) {
        // EXIF must be the first segment, or directly follow JFIF.
        if let Some(orientation) = self.orientation.take() {
            let exif = [exif::PREFIX, &orientation.to_tiff()].concat();
            push(&mut self.bytes, marker::APP1, &exif);
        }
        push(&mut self.bytes, found, payload);
    }

    fn push_scan(&mut self, header: &[u8], data: &[u8]) {
        self.push_retained(marker::SOS, header);
        self.bytes.extend_from_slice(data);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0xFF, marker::EOI]);
        self.bytes
    }
}

/// Returns the part of a segment needed for decoding, or `None` for metadata and for segments that browsers ignore.
fn retained(found: u8, payload: &[u8]) -> Option<&[u8]> {
    match found {
        marker::APP0 => payload.get(..JFIF_LENGTH).filter(|it| it.starts_with(JFIF)),
        marker::APP2 => Some(payload).filter(|it| it.starts_with(COLOUR_PROFILE)),
        marker::APP14 => payload.get(..ADOBE_LENGTH).filter(|it| it.starts_with(ADOBE)),
        marker::DHT | marker::DQT | marker::DRI => Some(payload),
        marker::DAC => None,
        // The check refuses unsupported frames.
        marker::SOF0..=marker::SOF15 => Some(payload),
        _ => None,
    }
}

fn push(cleaned: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    let length =
        u16::try_from(payload.len() + 2).expect("a segment of the original, or a short one");
    cleaned.extend_from_slice(&[0xFF, marker]);
    cleaned.extend_from_slice(&length.to_be_bytes());
    cleaned.extend_from_slice(payload);
}

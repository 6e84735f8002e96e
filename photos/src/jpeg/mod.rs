//! JPEG (ITU T.81), as leniently as browsers read it: stray bytes between segments, unknown application segments and a
//! missing end marker are accepted.

mod entropy;
mod frame;
mod huffman;
mod metadata;
mod scan;
mod segments;

pub(crate) use metadata::without_metadata;

use crate::rejection::Rejection;
use frame::{Component, Frame};
use scan::{ScanHeader, Tables};
use segments::{Part, Segments, marker};

/// Progressive photos have about ten. Each one is read for all blocks of the photo.
const MAX_SCANS: usize = 100;

/// Width and height.
pub(crate) fn dimensions(file: &[u8]) -> Result<(u32, u32), Rejection> {
    for part in Segments::of(file)? {
        if let Part::Segment { marker, payload } = part?
            && let Some(frame) = Frame::parse(marker, payload)?
        {
            return Ok((u32::from(frame.width), u32::from(frame.height)));
        }
    }
    Err(Rejection::Damaged)
}

/// Reads all Huffman codes, because decoders fill missing blocks with grey.
pub(crate) fn check_complete(file: &[u8]) -> Result<(), Rejection> {
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    let mut parts = Segments::of(file)?;
    for part in &mut parts {
        match part? {
            Part::Segment { marker: marker::DHT, payload } => tables.define(payload)?,
            Part::Segment { marker: marker::DRI, payload } => {
                tables.set_restart_interval(payload)?
            }
            Part::Segment { marker, payload } => {
                if let Some(mut next) = Frame::parse(marker, payload)? {
                    if frame.is_some() {
                        return Err(Rejection::Damaged);
                    }
                    next.allocate();
                    frame = Some(next);
                }
            }
            Part::Scan { header, data } => {
                let frame = frame.as_mut().ok_or(Rejection::Damaged)?;
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(Rejection::UnsupportedJpeg);
                }
                let header = ScanHeader::parse(header, frame)?;
                scan::read(frame, &header, &tables, data)?;
            }
        }
    }
    let components = frame.map(|frame| frame.components).unwrap_or_default();
    // Without an end marker, later scans of a progressive photo may be missing as a whole.
    let is_complete = |it: &Component| match parts.has_end_marker {
        true => it.missing_bits[0].is_some(),
        false => it.missing_bits.iter().all(|bits| *bits == Some(0)),
    };
    let all = !components.is_empty() && components.iter().all(is_complete);
    all.then_some(()).ok_or(Rejection::Damaged)
}

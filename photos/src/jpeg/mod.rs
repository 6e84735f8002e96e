//! Reads JPEG (ITU T.81) as leniently as browsers do: stray bytes between segments, unknown application segments and a
//! missing end marker are accepted.

mod check;
mod entropy;
mod frame;
mod huffman;
mod metadata;
mod scan;
mod scan_header;
mod segments;
mod standard_tables;
mod tables;

pub(crate) use metadata::{structural_copy, without_metadata};

use crate::rejection::Rejection;
use frame::Frame;
use segments::{Part, Segments};

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

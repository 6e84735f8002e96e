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
use frame::Frame;
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
    let mut reader = Reader::default();
    let mut parts = Segments::of(file)?;
    for part in &mut parts {
        let was_complete = reader.frame.as_ref().is_some_and(Frame::is_complete);
        match part.and_then(|part| reader.read(part)) {
            Ok(()) => {}
            // Without an end marker, anything can follow the last scan.
            Err(_) if was_complete => break,
            Err(rejection) => return Err(rejection),
        }
    }
    let is_complete = reader.frame.is_some_and(|frame| match parts.has_end_marker {
        // Encoders may leave out the last bits of a progressive photo.
        true => frame.components.iter().all(|it| it.missing_bits[0].is_some()),
        false => frame.is_complete(),
    });
    is_complete.then_some(()).ok_or(Rejection::Damaged)
}

#[derive(Default)]
struct Reader {
    tables: Tables,
    frame: Option<Frame>,
    scans: usize,
}

impl Reader {
    fn read(&mut self, part: Part<'_>) -> Result<(), Rejection> {
        match part {
            Part::Segment { marker: marker::DHT, payload } => self.tables.define(payload),
            Part::Segment { marker: marker::DRI, payload } => {
                self.tables.set_restart_interval(payload)
            }
            Part::Segment { marker, payload } => {
                let Some(mut frame) = Frame::parse(marker, payload)? else { return Ok(()) };
                if self.frame.is_some() {
                    return Err(Rejection::Damaged);
                }
                frame.allocate();
                self.frame = Some(frame);
                Ok(())
            }
            Part::Scan { header, data } => {
                let frame = self.frame.as_mut().ok_or(Rejection::Damaged)?;
                self.scans += 1;
                if self.scans > MAX_SCANS {
                    return Err(Rejection::UnsupportedJpeg);
                }
                let header = ScanHeader::parse(header, frame)?;
                scan::read(frame, &header, &self.tables, data)
            }
        }
    }
}

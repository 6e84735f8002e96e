//! Reads all Huffman codes to detect missing blocks, which decoders would fill with grey.

use super::frame::Frame;
use super::scan;
use super::scan_header::ScanHeader;
use super::segments::marker;
use super::tables::Tables;
use crate::rejection::Rejection;

/// Maximum number of scans, which bounds the CPU time, because each scan can cover all blocks of the photo. Progressive
/// photos usually have about ten scans.
const MAX_SCANS: usize = 100;

pub(super) struct CheckedScan {
    /// Payloads of segments that define the tables used by the scan but missing from the photo.
    pub(super) standard_tables: Vec<&'static [u8]>,
    /// Length of the data up to the end of the last block.
    pub(super) length: usize,
}

#[derive(Default)]
pub(super) struct Checker {
    tables: Tables,
    frame: Option<Frame>,
    scans: usize,
}

impl Checker {
    pub(super) fn segment(&mut self, found: u8, payload: &[u8]) -> Result<(), Rejection> {
        match found {
            marker::DHT => self.tables.define_huffman(payload),
            marker::DQT => self.tables.define_quantization(payload),
            marker::DRI => self.tables.set_restart_interval(payload),
            _ => {
                let Some(mut frame) = Frame::parse(found, payload)? else { return Ok(()) };
                if self.frame.is_some() {
                    return Err(Rejection::Damaged);
                }
                frame.allocate();
                self.frame = Some(frame);
                Ok(())
            }
        }
    }

    pub(super) fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<CheckedScan, Rejection> {
        let frame = self.frame.as_mut().ok_or(Rejection::Damaged)?;
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(Rejection::UnsupportedJpeg);
        }
        let header = ScanHeader::parse(header, frame)?;
        // Browsers do not use standard tables for progressive photos.
        let standard_tables = match frame.is_progressive {
            true => Vec::new(),
            false => self.tables.add_standard(&header)?,
        };
        let length = scan::read(frame, &header, &self.tables, data)?;
        Ok(CheckedScan { standard_tables, length })
    }

    /// Returns whether the scans so far contained all bits of all coefficients, so no further scan can follow.
    pub(super) fn is_complete(&self) -> bool {
        self.frame.as_ref().is_some_and(Frame::is_complete)
    }

    /// Returns whether the photo can end after the scans so far.
    pub(super) fn may_end(&self, has_end_marker: bool) -> bool {
        self.frame.as_ref().is_some_and(|frame| match has_end_marker {
            // Encoders may omit the lowest bits of the coefficients in a progressive photo. Browsers also display a
            // photo without some coefficients, but it is blurred, which is a sign of a truncated file.
            true => frame.has_all_coefficients(),
            false => frame.is_complete(),
        })
    }
}

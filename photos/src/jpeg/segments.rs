//! Splits a JPEG into segments and scans (ITU T.81, B.1).

use crate::rejection::Rejection;

pub(crate) mod marker {
    pub(crate) const SOF0: u8 = 0xC0;
    pub(crate) const SOF2: u8 = 0xC2;
    pub(crate) const DHT: u8 = 0xC4;
    pub(crate) const DAC: u8 = 0xCC;
    pub(crate) const SOF15: u8 = 0xCF;
    pub(crate) const RST0: u8 = 0xD0;
    pub(crate) const RST7: u8 = 0xD7;
    pub(crate) const SOI: u8 = 0xD8;
    pub(crate) const EOI: u8 = 0xD9;
    pub(crate) const SOS: u8 = 0xDA;
    pub(crate) const DQT: u8 = 0xDB;
    pub(crate) const DRI: u8 = 0xDD;
    pub(crate) const DHP: u8 = 0xDE;
    pub(crate) const EXP: u8 = 0xDF;
    pub(crate) const APP0: u8 = 0xE0;
    pub(crate) const APP1: u8 = 0xE1;
    pub(crate) const APP2: u8 = 0xE2;
    pub(crate) const APP14: u8 = 0xEE;
    pub(crate) const APP15: u8 = 0xEF;
    pub(crate) const JPG0: u8 = 0xF0;
    pub(crate) const JPG13: u8 = 0xFD;
    pub(crate) const COM: u8 = 0xFE;
    pub(crate) const TEM: u8 = 0x01;
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    Segment {
        marker: u8,
        payload: &'a [u8],
    },
    /// A scan: its header and its data. The data includes restart markers and ends before any other marker.
    Scan {
        header: &'a [u8],
        data: &'a [u8],
    },
}

/// Iterates over the parts of a JPEG, up to the end marker or the end of the file.
pub(crate) struct Segments<'a> {
    rest: &'a [u8],
    /// A file without an end marker may end only after a scan.
    after_scan: bool,
    pub(crate) has_end_marker: bool,
}

impl<'a> Segments<'a> {
    pub(crate) fn of(file: &'a [u8]) -> Result<Self, Rejection> {
        let rest = file.strip_prefix(&[0xFF, marker::SOI]).ok_or(Rejection::Damaged)?;
        Ok(Self { rest, after_scan: false, has_end_marker: false })
    }

    /// Returns the next marker that is not a restart marker. Skips fill bytes, stuffed zeros and stray bytes.
    fn marker(&mut self) -> Option<u8> {
        loop {
            let at = self.rest.iter().position(|byte| *byte == 0xFF)?;
            self.rest = &self.rest[at + 1..];
            match *self.rest.first()? {
                0xFF => {}
                0 | marker::TEM | marker::RST0..=marker::RST7 => self.rest = &self.rest[1..],
                found => {
                    self.rest = &self.rest[1..];
                    return Some(found);
                }
            }
        }
    }

    fn payload(&mut self, found: u8) -> Result<&'a [u8], Rejection> {
        let length = self.rest.first_chunk().ok_or(Rejection::Damaged)?;
        let mut length = usize::from(u16::from_be_bytes(*length));
        if matches!(found, marker::APP0..=marker::APP15 | marker::COM) {
            // Browsers skip such a segment even if its length does not include the two length bytes.
            length = length.max(2);
        }
        if length < 2 {
            return Err(Rejection::Damaged);
        }
        let payload = self.rest.get(2..length).ok_or(Rejection::Damaged)?;
        self.rest = &self.rest[length..];
        Ok(payload)
    }

    /// Returns the data of a scan, which ends at the first marker that is not a restart marker.
    fn scan_data(&mut self) -> &'a [u8] {
        let mut end = 0;
        loop {
            let Some(at) = self.rest[end..].iter().position(|byte| *byte == 0xFF) else {
                end = self.rest.len();
                break;
            };
            end += at;
            match self.rest.get(end + 1) {
                Some(0 | marker::RST0..=marker::RST7) => end += 2,
                Some(0xFF) => end += 1,
                _ => break,
            }
        }
        let (data, rest) = self.rest.split_at(end);
        self.rest = rest;
        data
    }

    fn part(&mut self) -> Result<Option<Part<'a>>, Rejection> {
        let Some(found) = self.marker() else {
            return if self.after_scan { Ok(None) } else { Err(Rejection::Damaged) };
        };
        match found {
            marker::EOI => {
                self.has_end_marker = true;
                Ok(None)
            }
            marker::SOS => {
                let header = self.payload(found)?;
                self.after_scan = true;
                Ok(Some(Part::Scan { header, data: self.scan_data() }))
            }
            // Hierarchical photos and JPEG extensions.
            marker::DHP | marker::EXP | marker::JPG0..=marker::JPG13 => {
                Err(Rejection::UnsupportedJpeg)
            }
            marker::SOF0..=marker::SOF15 | marker::DQT..=marker::APP15 | marker::COM => {
                Ok(Some(Part::Segment { marker: found, payload: self.payload(found)? }))
            }
            _ => Err(Rejection::Damaged),
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Part<'a>, Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part();
        if !matches!(part, Ok(Some(_))) {
            self.rest = &[];
            self.after_scan = true;
        }
        part.transpose()
    }
}

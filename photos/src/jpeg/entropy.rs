//! Reads the data of a scan bit by bit.

use super::segments::marker;
use crate::rejection::Rejection;

pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, from the top.
    bits: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0, bits: 0, count: 0 }
    }

    /// Fills the buffer up to a restart marker or the end. A zero after 0xFF is not data.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.position) else {
                return;
            };
            if byte == 0xFF {
                if self.data.get(self.position + 1) != Some(&0) {
                    return;
                }
                self.position += 1;
            }
            self.position += 1;
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, with zeros after the end.
    pub(crate) fn peek16(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        (self.bits >> 48) as u32
    }

    /// Skips at most 16 bits.
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), Rejection> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(Rejection::Damaged)?;
        self.bits <<= count;
        Ok(())
    }

    /// Reads at most 16 bits.
    pub(crate) fn read(&mut self, count: u32) -> Result<u32, Rejection> {
        let next = self.peek16();
        self.skip(count)?;
        Ok(next >> (16 - count))
    }

    /// Continues after the next restart marker.
    pub(crate) fn restart(&mut self) -> Result<(), Rejection> {
        (self.bits, self.count) = (0, 0);
        let rest = &self.data[self.position..];
        let is_restart =
            |pair: &[u8]| pair[0] == 0xFF && (marker::RST0..=marker::RST7).contains(&pair[1]);
        let at = rest.windows(2).position(is_restart).ok_or(Rejection::Damaged)?;
        self.position += at + 2;
        Ok(())
    }
}

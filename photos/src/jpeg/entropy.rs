//! Reads the data of a scan bit by bit.

use super::segments::marker;
use crate::rejection::Rejection;

pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, starting with the most significant bit.
    bits: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0, bits: 0, count: 0 }
    }

    /// Fills the bit buffer, up to the next restart marker or the end of the data. A zero byte after 0xFF is not data,
    /// and 0xFF may be repeated before it.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.position) else {
                return;
            };
            if byte == 0xFF {
                let next = self.data[self.position..].iter().position(|byte| *byte != 0xFF);
                match next {
                    Some(repeated) if self.data[self.position + repeated] == 0 => {
                        self.position += repeated;
                    }
                    _ => return,
                }
            }
            self.position += 1;
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Returns the next 16 bits without consuming them. Bits after the end of the data are zero.
    pub(crate) fn peek16(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        (self.bits >> 48) as u32
    }

    /// Skips `count` bits, at most 16.
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), Rejection> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(Rejection::Damaged)?;
        self.bits <<= count;
        Ok(())
    }

    /// Reads `count` bits, at most 16.
    pub(crate) fn read(&mut self, count: u32) -> Result<u32, Rejection> {
        let next = self.peek16();
        self.skip(count)?;
        Ok(next >> (16 - count))
    }

    /// Returns the length of the data up to the last byte from which a bit was read.
    pub(crate) fn consumed(&self) -> usize {
        let mut end = self.position;
        for _ in 0..self.count / 8 {
            let is_stuffed = self.data[..end].ends_with(&[0xFF, 0]);
            end -= 1;
            while is_stuffed && self.data[..end].ends_with(&[0xFF]) {
                end -= 1;
            }
        }
        end
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffered_bytes_do_not_count_as_consumed() {
        let data = [0x12, 0xFF, 0x00, 0x00, 0xFF, 0x00, 0x34, 0xFF, marker::RST0, 0x56, 0x78];
        let mut bits = BitReader::new(&data);
        assert_eq!(bits.consumed(), 0);
        for (count, expected) in [(1, 1), (7, 1), (1, 3), (7, 3), (8, 4), (3, 6), (5, 6), (8, 7)] {
            bits.read(count).expect("data");
            assert_eq!(bits.consumed(), expected, "after {count} more bits");
        }
        bits.restart().expect("a restart marker");
        bits.read(4).expect("data");
        assert_eq!(bits.consumed(), 10);
    }

    #[test]
    fn a_repeated_0xff_is_read_once() {
        let data = [0x12, 0xFF, 0xFF, 0xFF, 0x00, 0x34, 0xFF, 0xFF, marker::RST0, 0x56];
        let mut bits = BitReader::new(&data);
        for (expected, consumed) in [(0x12, 1), (0xFF, 5), (0x34, 6)] {
            assert_eq!(bits.read(8), Ok(expected));
            assert_eq!(bits.consumed(), consumed);
        }
        assert_eq!(bits.read(8), Err(Rejection::Damaged), "the data ends before the marker");
        bits.restart().expect("a restart marker");
        assert_eq!(bits.read(8), Ok(0x56));
    }
}

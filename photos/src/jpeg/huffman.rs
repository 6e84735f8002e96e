//! Huffman tables (ITU T.81, annex C and F.2.2.3).

use super::entropy::BitReader;
use crate::rejection::Rejection;

/// Codes up to this length are found with a single table lookup.
const LOOKUP_BITS: u32 = 9;
const MAX_LENGTH: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct HuffmanTable {
    /// For each value of the next [`LOOKUP_BITS`] bits, the length and symbol of the code they begin with, or length 0
    /// if no short code matches.
    lookup: Box<[(u8, u8); 1 << LOOKUP_BITS]>,
    /// For each length, one more than the largest code of that length.
    ends: [u32; MAX_LENGTH + 1],
    /// For each length, the number to add to a code to get the index of its symbol.
    offsets: [i32; MAX_LENGTH + 1],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// `counts` contains the number of codes for each length, starting at length 1.
    pub(crate) fn new(counts: &[u8; MAX_LENGTH], symbols: &[u8]) -> Result<Self, Rejection> {
        let mut table = Self {
            lookup: Box::new([(0, 0); 1 << LOOKUP_BITS]),
            ends: [0; MAX_LENGTH + 1],
            offsets: [0; MAX_LENGTH + 1],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, count) in (1..).zip(counts) {
            let count = u32::from(*count);
            table.offsets[length] = index as i32 - code as i32;
            // No code consists only of ones.
            if code + count >= 1 << length {
                return Err(Rejection::Damaged);
            }
            for _ in 0..count {
                table.add_to_lookup(code, length as u32, symbols[index]);
                (code, index) = (code + 1, index + 1);
            }
            table.ends[length] = code;
            code <<= 1;
        }
        Ok(table)
    }

    fn add_to_lookup(&mut self, code: u32, length: u32, symbol: u8) {
        let Some(free) = LOOKUP_BITS.checked_sub(length) else {
            return;
        };
        let first = (code << free) as usize;
        self.lookup[first..first + (1 << free)].fill((length as u8, symbol));
    }

    pub(crate) fn decode(&self, bits: &mut BitReader<'_>) -> Result<u8, Rejection> {
        let next = bits.peek16();
        let (length, symbol) = self.lookup[(next >> (16 - LOOKUP_BITS)) as usize];
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for length in LOOKUP_BITS as usize + 1..=MAX_LENGTH {
            let code = next >> (MAX_LENGTH - length);
            if code < self.ends[length] {
                bits.skip(length as u32)?;
                let index = code as i32 + self.offsets[length];
                let symbol = usize::try_from(index).ok().and_then(|it| self.symbols.get(it));
                return symbol.copied().ok_or(Rejection::Damaged);
            }
        }
        Err(Rejection::Damaged)
    }
}

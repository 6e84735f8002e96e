//! The frame: size and components of a photo (ITU T.81, B.2.2).

use super::segments::marker;
use crate::rejection::Rejection;

/// Width and height of a block.
pub(crate) const BLOCK: u32 = 8;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) is_progressive: bool,
    pub(crate) components: Vec<Component>,
}

#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: u8,
    /// Blocks per unit, horizontally and vertically: 1 to 4.
    pub(crate) sampling: (u32, u32),
    /// Blocks that cover the photo, for scans of this component only.
    pub(crate) blocks: (u32, u32),
    /// How many low bits of each coefficient are still missing; `None` before its first scan.
    pub(crate) missing_bits: [Option<u8>; 64],
    /// For a progressive photo, which coefficients of each block are not zero, with [`Self::row_blocks`] per row.
    pub(crate) nonzero: Vec<u64>,
    /// Blocks per row that whole units need.
    pub(crate) row_blocks: u32,
    /// Rows of blocks that whole units need.
    rows: u32,
}

impl Frame {
    /// `None` if the segment is not a frame.
    pub(crate) fn parse(found: u8, payload: &[u8]) -> Result<Option<Self>, Rejection> {
        let is_other = matches!(found, marker::DHT | marker::JPG | marker::DAC);
        if is_other || !(marker::SOF0..=marker::SOF15).contains(&found) {
            return Ok(None);
        }
        if found > marker::SOF2 {
            // Lossless, hierarchical or arithmetic coding.
            return Err(Rejection::UnsupportedJpeg);
        }
        let &[precision, h1, h0, w1, w0, count, ref specs @ ..] = payload else {
            return Err(Rejection::Damaged);
        };
        if precision != 8 {
            return Err(Rejection::UnsupportedJpeg);
        }
        let (specs, rest) = specs.as_chunks::<3>();
        if specs.len() != usize::from(count) || !rest.is_empty() || !matches!(count, 1 | 3 | 4) {
            return Err(Rejection::Damaged);
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        let sampling = |spec: &[u8; 3]| (u32::from(spec[1] >> 4), u32::from(spec[1] & 15));
        let is_valid = |it: (u32, u32)| (1..=4).contains(&it.0) && (1..=4).contains(&it.1);
        if width == 0 || height == 0 || !specs.iter().map(sampling).all(is_valid) {
            return Err(Rejection::Damaged);
        }
        let max_h = specs.iter().map(|spec| sampling(spec).0).max().unwrap_or(1);
        let max_v = specs.iter().map(|spec| sampling(spec).1).max().unwrap_or(1);
        let is_progressive = found == marker::SOF2;
        let components = specs.iter().map(|spec| {
            let (h, v) = sampling(spec);
            let across = |size: u16, own: u32, max: u32| {
                (u32::from(size) * own).div_ceil(max).div_ceil(BLOCK)
            };
            let units = |size: u16, max: u32| u32::from(size).div_ceil(BLOCK * max);
            let row_blocks = units(width, max_h) * h;
            let rows = units(height, max_v) * v;
            Component {
                id: spec[0],
                sampling: (h, v),
                blocks: (across(width, h, max_h), across(height, v, max_v)),
                missing_bits: [None; 64],
                nonzero: Vec::new(),
                row_blocks,
                rows,
            }
        });
        Ok(Some(Self { width, height, is_progressive, components: components.collect() }))
    }

    /// Makes room for [`Component::nonzero`].
    pub(crate) fn allocate(&mut self) {
        for component in self.components.iter_mut().filter(|_| self.is_progressive) {
            component.nonzero = vec![0; component.row_blocks as usize * component.rows as usize];
        }
    }

    /// Whether the scans so far have all bits of all coefficients.
    pub(crate) fn is_complete(&self) -> bool {
        self.components.iter().all(|it| it.missing_bits.iter().all(|bits| *bits == Some(0)))
    }

    /// Units of all components that cover the photo, horizontally and vertically.
    pub(crate) fn units(&self) -> (u32, u32) {
        let first = &self.components[0];
        (first.row_blocks / first.sampling.0, first.rows / first.sampling.1)
    }
}

//! The frame header, which declares the size and the components of a photo (ITU T.81, B.2.2).

use super::segments::marker;
use crate::rejection::Rejection;

/// Width and height of a block in samples.
pub(crate) const BLOCK: u32 = 8;
/// Maximum width and height supported by libjpeg, which browsers use.
const MAX_SIDE: u16 = 65_500;

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
    /// Number of the quantization table.
    pub(crate) quantization: u8,
    /// Number of blocks per unit (MCU), horizontally and vertically: 1 to 4.
    pub(crate) sampling: (u32, u32),
    /// Number of blocks that cover the photo, horizontally and vertically. A scan of this component alone contains
    /// exactly these blocks.
    pub(crate) blocks: (u32, u32),
    /// Number of low bits of each coefficient that are still missing. `None` before the first scan of the coefficient.
    pub(crate) missing_bits: [Option<u8>; 64],
    /// For a progressive photo, a bit mask of the nonzero coefficients of each block. Each row has [`Self::row_blocks`]
    /// blocks.
    pub(crate) nonzero: Vec<u64>,
    /// Number of blocks per row, rounded up to whole units.
    pub(crate) row_blocks: u32,
    /// Number of rows of blocks, rounded up to whole units.
    rows: u32,
}

fn sampling(spec: &[u8; 3]) -> (u32, u32) {
    (u32::from(spec[1] >> 4), u32::from(spec[1] & 15))
}

impl Component {
    /// `max` contains the largest sampling factors of all components.
    fn new(spec: &[u8; 3], (width, height): (u16, u16), max: (u32, u32)) -> Self {
        let (h, v) = sampling(spec);
        let across =
            |size: u16, own: u32, max: u32| (u32::from(size) * own).div_ceil(max).div_ceil(BLOCK);
        let units = |size: u16, max: u32| u32::from(size).div_ceil(BLOCK * max);
        Self {
            id: spec[0],
            quantization: spec[2],
            sampling: (h, v),
            blocks: (across(width, h, max.0), across(height, v, max.1)),
            missing_bits: [None; 64],
            nonzero: Vec::new(),
            row_blocks: units(width, max.0) * h,
            rows: units(height, max.1) * v,
        }
    }
}

impl Frame {
    /// Returns `None` if the segment is not a frame header.
    pub(crate) fn parse(found: u8, payload: &[u8]) -> Result<Option<Self>, Rejection> {
        let is_other = matches!(found, marker::DHT | marker::DAC);
        if is_other || !(marker::SOF0..=marker::SOF15).contains(&found) {
            return Ok(None);
        }
        if found > marker::SOF2 {
            // This frame uses lossless, hierarchical or arithmetic coding.
            return Err(Rejection::UnsupportedJpeg);
        }
        let &[precision, h1, h0, w1, w0, count, ref specs @ ..] = payload else {
            return Err(Rejection::Damaged);
        };
        if precision != 8 {
            return Err(Rejection::UnsupportedJpeg);
        }
        let (specs, rest) = specs.as_chunks::<3>();
        if specs.len() != usize::from(count) || !rest.is_empty() {
            return Err(Rejection::Damaged);
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Rejection::UnsupportedJpeg);
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        let is_valid = |it: (u32, u32)| (1..=4).contains(&it.0) && (1..=4).contains(&it.1);
        if width == 0 || height == 0 || !specs.iter().map(sampling).all(is_valid) {
            return Err(Rejection::Damaged);
        }
        let max_h = specs.iter().map(|spec| sampling(spec).0).max().unwrap_or(1);
        let max_v = specs.iter().map(|spec| sampling(spec).1).max().unwrap_or(1);
        // Browsers enlarge smaller components only by integer factors.
        let is_whole = |(h, v)| max_h.is_multiple_of(h) && max_v.is_multiple_of(v);
        if !specs.iter().map(sampling).all(is_whole) {
            return Err(Rejection::UnsupportedJpeg);
        }
        if width.max(height) > MAX_SIDE {
            return Err(Rejection::TooLarge);
        }
        let is_progressive = found == marker::SOF2;
        let components = specs.iter();
        let components =
            components.map(|spec| Component::new(spec, (width, height), (max_h, max_v))).collect();
        Ok(Some(Self { width, height, is_progressive, components }))
    }

    /// Allocates memory for [`Component::nonzero`].
    pub(crate) fn allocate(&mut self) {
        for component in self.components.iter_mut().filter(|_| self.is_progressive) {
            component.nonzero = vec![0; component.row_blocks as usize * component.rows as usize];
        }
    }

    /// Returns whether the scans so far contained all bits of all coefficients.
    pub(crate) fn is_complete(&self) -> bool {
        self.components.iter().all(|it| it.missing_bits.iter().all(|bits| *bits == Some(0)))
    }

    /// Returns whether the scans so far contained at least the high bits of all coefficients.
    pub(crate) fn has_all_coefficients(&self) -> bool {
        self.components.iter().all(|it| it.missing_bits.iter().all(Option::is_some))
    }

    /// Returns the number of units (MCUs) that cover the photo, horizontally and vertically.
    pub(crate) fn units(&self) -> (u32, u32) {
        let first = &self.components[0];
        (first.row_blocks / first.sampling.0, first.rows / first.sampling.1)
    }
}

//! The header of a scan, which selects components and coefficients (ITU T.81, B.2.3 and G.1.1.1).

use super::frame::Frame;
use crate::rejection::Rejection;

pub(crate) const LAST_COEFFICIENT: u8 = 63;
/// Maximum number of blocks per unit in a scan with several components.
const MAX_UNIT_BLOCKS: u32 = 10;
/// Maximum number of low bits per coefficient that decoders allow to follow in later scans.
const MAX_MISSING_BITS: u8 = 13;

/// The components and coefficients that a scan contains.
pub(crate) struct ScanHeader {
    pub(crate) components: Vec<ScanComponent>,
    pub(crate) first: u8,
    pub(crate) last: u8,
    pub(crate) is_refinement: bool,
    /// Number of low bits of the coefficients that follow in later scans.
    pub(crate) missing_bits: u8,
}

pub(crate) struct ScanComponent {
    /// Index of the component in the frame.
    pub(crate) index: usize,
    /// Number of the DC table.
    pub(crate) dc: usize,
    /// Number of the AC table.
    pub(crate) ac: usize,
}

impl ScanHeader {
    pub(crate) fn parse(header: &[u8], frame: &Frame) -> Result<Self, Rejection> {
        let (&count, rest) = header.split_first().ok_or(Rejection::Damaged)?;
        let specs = rest.split_at_checked(2 * usize::from(count));
        let (specs, &[first, last, approximation]) = specs.ok_or(Rejection::Damaged)? else {
            return Err(Rejection::Damaged);
        };
        let mut components: Vec<ScanComponent> = Vec::new();
        for &[id, tables] in specs.as_chunks::<2>().0 {
            // Some cameras give all components the same id. Browsers expect the components in frame order, so the
            // component at position n of the scan cannot precede position n of the frame.
            let mut candidates = frame.components.iter().enumerate().skip(components.len());
            let found = candidates.find(|(_, component)| component.id == id);
            let (index, _) = found.ok_or(Rejection::Damaged)?;
            if components.iter().any(|component| component.index == index) {
                return Err(Rejection::Damaged);
            }
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            components.push(ScanComponent { index, dc, ac });
        }
        let blocks = components.iter().map(|component| {
            let (h, v) = frame.components[component.index].sampling;
            h * v
        });
        if components.is_empty() || (components.len() > 1 && blocks.sum::<u32>() > MAX_UNIT_BLOCKS)
        {
            return Err(Rejection::Damaged);
        }
        let (first, last, approximation) = if frame.is_progressive {
            (first, last, approximation)
        } else {
            // Decoders ignore these values in a sequential photo, and some cameras write invalid values.
            (0, LAST_COEFFICIENT, 0)
        };
        let is_band = if frame.is_progressive && first == 0 {
            last == 0
        } else {
            first <= last && last <= LAST_COEFFICIENT && (first == 0 || components.len() == 1)
        };
        let (previously_missing, missing_bits) = (approximation >> 4, approximation & 15);
        let is_refinement = previously_missing != 0;
        // A refinement adds exactly one bit.
        let adds_one_bit = !is_refinement || missing_bits + 1 == previously_missing;
        if !is_band || !adds_one_bit || missing_bits > MAX_MISSING_BITS {
            return Err(Rejection::Damaged);
        }
        Ok(Self { components, first, last, is_refinement, missing_bits })
    }
}

//! Reads the codes of a scan without computing pixels (ITU T.81, F.2 and G.2).

use super::entropy::BitReader;
use super::frame::Frame;
use super::huffman::HuffmanTable;
use crate::rejection::Rejection;

const LAST_COEFFICIENT: u8 = 63;
/// Of a scan with several components (B.2.3).
const MAX_UNIT_BLOCKS: u32 = 10;

/// Huffman tables and the restart interval, which hold until they are defined again.
#[derive(Default)]
pub(crate) struct Tables {
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
    restart_interval: u32,
}

impl Tables {
    /// A segment of tables: class and number, counts, symbols.
    pub(crate) fn define(&mut self, mut payload: &[u8]) -> Result<(), Rejection> {
        while let Some((&target, rest)) = payload.split_first() {
            let counts = rest.first_chunk::<16>().ok_or(Rejection::Damaged)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let symbols = rest.get(16..16 + total).ok_or(Rejection::Damaged)?;
            let table = HuffmanTable::new(counts, symbols)?;
            let tables = match target >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(Rejection::Damaged),
            };
            *tables.get_mut(usize::from(target & 15)).ok_or(Rejection::Damaged)? = Some(table);
            payload = &rest[16 + total..];
        }
        Ok(())
    }

    pub(crate) fn set_restart_interval(&mut self, payload: &[u8]) -> Result<(), Rejection> {
        let interval = payload.first_chunk().ok_or(Rejection::Damaged)?;
        self.restart_interval = u32::from(u16::from_be_bytes(*interval));
        Ok(())
    }
}

/// Which components and coefficients a scan has.
pub(crate) struct ScanHeader {
    /// Index of the component, number of its DC table and of its AC table.
    components: Vec<(usize, usize, usize)>,
    first: u8,
    last: u8,
    is_refinement: bool,
    /// How many low bits of the coefficients follow in later scans.
    missing_bits: u8,
}

impl ScanHeader {
    pub(crate) fn parse(header: &[u8], frame: &Frame) -> Result<Self, Rejection> {
        let (&count, rest) = header.split_first().ok_or(Rejection::Damaged)?;
        let specs = rest.get(..2 * usize::from(count)).ok_or(Rejection::Damaged)?;
        let mut components = Vec::new();
        for spec in specs.as_chunks::<2>().0 {
            let index = frame.components.iter().position(|it| it.id == spec[0]);
            let index = index.ok_or(Rejection::Damaged)?;
            components.push((index, usize::from(spec[1] >> 4), usize::from(spec[1] & 15)));
        }
        let blocks = components.iter().map(|(index, ..)| {
            let (h, v) = frame.components[*index].sampling;
            h * v
        });
        if components.is_empty() || (components.len() > 1 && blocks.sum::<u32>() > MAX_UNIT_BLOCKS)
        {
            return Err(Rejection::Damaged);
        }
        let (first, last, approximation) = if frame.is_progressive {
            let bands = rest.get(specs.len()..).and_then(|rest| rest.first_chunk());
            let &[first, last, approximation] = bands.ok_or(Rejection::Damaged)?;
            (first, last, approximation)
        } else {
            // Some cameras write other values here; decoders ignore them.
            (0, LAST_COEFFICIENT, 0)
        };
        let is_valid = if frame.is_progressive && first == 0 {
            last == 0
        } else {
            first <= last && last <= LAST_COEFFICIENT && (first == 0 || components.len() == 1)
        };
        if !is_valid {
            return Err(Rejection::Damaged);
        }
        let (is_refinement, missing_bits) = (approximation >> 4 != 0, approximation & 15);
        Ok(Self { components, first, last, is_refinement, missing_bits })
    }
}

pub(crate) fn read(
    frame: &mut Frame,
    header: &ScanHeader,
    tables: &Tables,
    data: &[u8],
) -> Result<(), Rejection> {
    let mut reader = ScanReader {
        bits: BitReader::new(data),
        header,
        is_progressive: frame.is_progressive,
        blocks_without_codes: 0,
    };
    let mut units = 0_u32;
    if let &[(index, dc, ac)] = header.components.as_slice() {
        let component = &mut frame.components[index];
        let (columns, rows) = component.blocks;
        for row in 0..rows {
            for column in 0..columns {
                reader.restart_if_due(units, tables.restart_interval)?;
                let at = (row * component.row_blocks + column) as usize;
                reader.block(component.nonzero.get_mut(at), &tables.dc, dc, &tables.ac, ac)?;
                units += 1;
            }
        }
    } else {
        let (columns, rows) = frame.units();
        for _ in 0..columns * rows {
            reader.restart_if_due(units, tables.restart_interval)?;
            for &(index, dc, ac) in &header.components {
                let (h, v) = frame.components[index].sampling;
                for _ in 0..h * v {
                    // Such scans of a progressive photo have no coefficients that a later scan needs.
                    reader.block(None, &tables.dc, dc, &tables.ac, ac)?;
                }
            }
            units += 1;
        }
    }
    for &(index, ..) in &header.components {
        let band = usize::from(header.first)..=usize::from(header.last);
        frame.components[index].missing_bits[band].fill(Some(header.missing_bits));
    }
    Ok(())
}

struct ScanReader<'a> {
    bits: BitReader<'a>,
    header: &'a ScanHeader,
    is_progressive: bool,
    /// The "end of bands run".
    blocks_without_codes: u32,
}

type OptionalTables = [Option<HuffmanTable>; 4];

fn table(tables: &OptionalTables, number: usize) -> Result<&HuffmanTable, Rejection> {
    tables.get(number).and_then(Option::as_ref).ok_or(Rejection::Damaged)
}

impl ScanReader<'_> {
    fn restart_if_due(&mut self, units: u32, interval: u32) -> Result<(), Rejection> {
        if interval > 0 && units > 0 && units.is_multiple_of(interval) {
            self.bits.restart()?;
            self.blocks_without_codes = 0;
        }
        Ok(())
    }

    fn block(
        &mut self,
        nonzero: Option<&mut u64>,
        dc_tables: &OptionalTables,
        dc: usize,
        ac_tables: &OptionalTables,
        ac: usize,
    ) -> Result<(), Rejection> {
        if !self.is_progressive {
            self.dc(table(dc_tables, dc)?)?;
            return self.baseline_ac(table(ac_tables, ac)?);
        }
        match (self.header.first, self.header.is_refinement) {
            (0, false) => self.dc(table(dc_tables, dc)?),
            (0, true) => self.bits.skip(1),
            (_, is_refinement) => {
                let table = table(ac_tables, ac)?;
                let nonzero = nonzero.ok_or(Rejection::Damaged)?;
                if is_refinement {
                    self.refine_ac(table, nonzero)
                } else {
                    self.first_ac(table, nonzero)
                }
            }
        }
    }

    fn dc(&mut self, table: &HuffmanTable) -> Result<(), Rejection> {
        let size = table.decode(&mut self.bits)?;
        // Larger differences exist in lossless JPEG only.
        if size > 15 { Err(Rejection::Damaged) } else { self.bits.skip(u32::from(size)) }
    }

    fn baseline_ac(&mut self, table: &HuffmanTable) -> Result<(), Rejection> {
        let mut at = 1;
        while at <= LAST_COEFFICIENT {
            let code = table.decode(&mut self.bits)?;
            match (code >> 4, code & 15) {
                (15, 0) => at += 16,
                (_, 0) => break,
                (zeros, size) => {
                    at += zeros + 1;
                    if at > LAST_COEFFICIENT + 1 {
                        return Err(Rejection::Damaged);
                    }
                    self.bits.skip(u32::from(size))?;
                }
            }
        }
        Ok(())
    }

    fn first_ac(&mut self, table: &HuffmanTable, nonzero: &mut u64) -> Result<(), Rejection> {
        if self.blocks_without_codes > 0 {
            self.blocks_without_codes -= 1;
            return Ok(());
        }
        let mut at = self.header.first;
        while at <= self.header.last {
            let code = table.decode(&mut self.bits)?;
            match (code >> 4, code & 15) {
                (15, 0) => at += 16,
                (run, 0) => {
                    self.blocks_without_codes = self.run_length(run)? - 1;
                    break;
                }
                (zeros, size) => {
                    at += zeros;
                    if at > LAST_COEFFICIENT {
                        return Err(Rejection::Damaged);
                    }
                    self.bits.skip(u32::from(size))?;
                    *nonzero |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Adds one bit to the coefficients that are not zero, and inserts new ones (G.1.2.3).
    fn refine_ac(&mut self, table: &HuffmanTable, nonzero: &mut u64) -> Result<(), Rejection> {
        let mut at = self.header.first;
        if self.blocks_without_codes == 0 {
            while at <= self.header.last {
                let code = table.decode(&mut self.bits)?;
                let (mut zeros, size) = (code >> 4, code & 15);
                if size == 0 && zeros < 15 {
                    self.blocks_without_codes = self.run_length(zeros)?;
                    break;
                }
                self.bits.skip(u32::from(size != 0))?;
                while at <= self.header.last {
                    if *nonzero & (1 << at) != 0 {
                        self.bits.skip(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if size != 0 && at <= LAST_COEFFICIENT {
                    *nonzero |= 1 << at;
                }
                at += 1;
            }
        }
        if self.blocks_without_codes > 0 {
            let band = (u64::MAX << at.min(63)) & (u64::MAX >> (63 - self.header.last));
            let corrected = if at > self.header.last { 0 } else { *nonzero & band };
            for _ in 0..corrected.count_ones() {
                self.bits.skip(1)?;
            }
            self.blocks_without_codes -= 1;
        }
        Ok(())
    }

    /// Number of blocks, this one included, that have no further codes.
    fn run_length(&mut self, run: u8) -> Result<u32, Rejection> {
        let run = u32::from(run);
        Ok((1 << run) + self.bits.read(run)?)
    }
}

//! Reads the codes of a scan without computing pixels (ITU T.81, F.2 and G.2).

use super::entropy::BitReader;
use super::frame::{Component, Frame};
use super::huffman::HuffmanTable;
use super::scan_header::{LAST_COEFFICIENT, ScanComponent, ScanHeader};
use super::tables::Tables;
use crate::rejection::Rejection;

/// Returns the length of the data up to the end of the last block. Any data may follow before the next marker.
pub(crate) fn read(
    frame: &mut Frame,
    header: &ScanHeader,
    tables: &Tables,
    data: &[u8],
) -> Result<usize, Rejection> {
    let mut reader = ScanReader {
        bits: BitReader::new(data),
        header,
        is_progressive: frame.is_progressive,
        blocks_without_codes: 0,
    };
    let mut units = 0_u32;
    let is_first_scan = |component: &Component| component.missing_bits == [None; 64];
    for ScanComponent { index, .. } in &header.components {
        let component = &frame.components[*index];
        if is_first_scan(component) && !tables.has_quantization(component.quantization) {
            return Err(Rejection::Damaged);
        }
    }
    if let [scanned] = header.components.as_slice() {
        let component = &mut frame.components[scanned.index];
        let (columns, rows) = component.blocks;
        for row in 0..rows {
            for column in 0..columns {
                reader.restart_if_due(units, tables.restart_interval)?;
                let at = (row * component.row_blocks + column) as usize;
                reader.block(component.nonzero.get_mut(at), tables, scanned)?;
                units += 1;
            }
        }
    } else {
        let (columns, rows) = frame.units();
        for _ in 0..columns * rows {
            reader.restart_if_due(units, tables.restart_interval)?;
            for scanned in &header.components {
                let (h, v) = frame.components[scanned.index].sampling;
                for _ in 0..h * v {
                    // In a progressive photo, a scan with several components has only DC coefficients, for which
                    // `nonzero` is not needed.
                    reader.block(None, tables, scanned)?;
                }
            }
            units += 1;
        }
    }
    for ScanComponent { index, .. } in &header.components {
        let band = usize::from(header.first)..=usize::from(header.last);
        frame.components[*index].missing_bits[band].fill(Some(header.missing_bits));
    }
    Ok(reader.bits.consumed())
}

struct ScanReader<'a> {
    bits: BitReader<'a>,
    header: &'a ScanHeader,
    is_progressive: bool,
    /// Number of subsequent blocks without codes (the "end-of-band run").
    blocks_without_codes: u32,
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
        tables: &Tables,
        scanned: &ScanComponent,
    ) -> Result<(), Rejection> {
        if !self.is_progressive {
            self.dc(tables.dc(scanned.dc)?)?;
            return self.baseline_ac(tables.ac(scanned.ac)?);
        }
        match (self.header.first, self.header.is_refinement) {
            (0, false) => self.dc(tables.dc(scanned.dc)?),
            (0, true) => self.bits.skip(1),
            (_, is_refinement) => {
                let table = tables.ac(scanned.ac)?;
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
        // Larger differences exist only in lossless JPEG.
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

    /// Reads one more bit of each nonzero coefficient, and adds coefficients that become nonzero (G.1.2.3).
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

    /// Returns the number of blocks without further codes, including the current block.
    fn run_length(&mut self, run: u8) -> Result<u32, Rejection> {
        let run = u32::from(run);
        Ok((1 << run) + self.bits.read(run)?)
    }
}

//! A photo's Huffman tables, quantization tables and restart interval, each of which applies until it is redefined.

use super::huffman::HuffmanTable;
use super::scan_header::ScanHeader;
use super::standard_tables::standard_table;
use crate::rejection::Rejection;

/// Number of values in a quantization table.
const QUANTIZATION_VALUES: usize = 64;

#[derive(Default)]
pub(crate) struct Tables {
    dc: OptionalTables,
    ac: OptionalTables,
    /// Whether each quantization table is defined. The values are not needed.
    quantization: [bool; 4],
    pub(crate) restart_interval: u32,
}

type OptionalTables = [Option<HuffmanTable>; 4];

impl Tables {
    /// Reads a segment of Huffman tables. Each table consists of a class and a number, the counts, and the symbols.
    pub(crate) fn define_huffman(&mut self, mut payload: &[u8]) -> Result<(), Rejection> {
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

    /// Reads a segment of quantization tables. Each table consists of a precision and a number, and 64 values of one or
    /// two bytes.
    pub(crate) fn define_quantization(&mut self, mut payload: &[u8]) -> Result<(), Rejection> {
        while let Some((&target, rest)) = payload.split_first() {
            let length =
                if target >> 4 == 0 { QUANTIZATION_VALUES } else { 2 * QUANTIZATION_VALUES };
            let is_defined = self.quantization.get_mut(usize::from(target & 15));
            *is_defined.ok_or(Rejection::Damaged)? = true;
            payload = rest.get(length..).ok_or(Rejection::Damaged)?;
        }
        Ok(())
    }

    pub(crate) fn set_restart_interval(&mut self, payload: &[u8]) -> Result<(), Rejection> {
        let interval = <[u8; 2]>::try_from(payload).map_err(|_| Rejection::Damaged)?;
        self.restart_interval = u32::from(u16::from_be_bytes(interval));
        Ok(())
    }

    /// Defines the standard tables used by a scan of a sequential photo that does not define them itself. Returns the
    /// payloads of segments that define these tables.
    pub(crate) fn add_standard(
        &mut self,
        scan: &ScanHeader,
    ) -> Result<Vec<&'static [u8]>, Rejection> {
        let mut added = Vec::new();
        for component in &scan.components {
            for (class, number) in [(0, component.dc), (1, component.ac)] {
                let tables = if class == 0 { &self.dc } else { &self.ac };
                if let Some(None) = tables.get(number)
                    && let Some(table) = standard_table(class, number)
                {
                    self.define_huffman(table)?;
                    added.push(table);
                }
            }
        }
        Ok(added)
    }

    pub(crate) fn dc(&self, number: usize) -> Result<&HuffmanTable, Rejection> {
        table(&self.dc, number)
    }

    pub(crate) fn ac(&self, number: usize) -> Result<&HuffmanTable, Rejection> {
        table(&self.ac, number)
    }

    pub(crate) fn has_quantization(&self, number: u8) -> bool {
        self.quantization.get(usize::from(number)) == Some(&true)
    }
}

fn table(tables: &OptionalTables, number: usize) -> Result<&HuffmanTable, Rejection> {
    tables.get(number).and_then(Option::as_ref).ok_or(Rejection::Damaged)
}

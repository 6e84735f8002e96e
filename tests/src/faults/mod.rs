//! The fault table. Each row injects a real fault and then checks the invariants from the outside.
//!
//! A row runs on a `Testbed`, which records acknowledged requests and the events received by listeners. At the end of
//! the row, the invariants are checked against a `Snapshot` of the whole system. `cargo xtask faults` runs all rows,
//! and `cargo xtask test` runs a small selection.

mod acknowledged;
mod invariants;
mod listener;
mod load;
mod report;
mod rows;
mod snapshot;
mod soak;
mod table;
mod testbed;

pub use invariants::{Invariant, Violation};
pub use report::RowReport;
pub use soak::{SoakReport, soak};
pub use table::{ROWS, Row, RowOutcome};

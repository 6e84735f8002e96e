//! The fault table. Each row injects a real fault and then checks the invariants from outside.
//!
//! A row runs on a `Testbed`, which records what was acknowledged and what listeners received. At the end a `Snapshot`
//! of the whole system is taken and checked (`invariants`). `cargo xtask faults` runs all rows, `cargo xtask test` a
//! short selection.

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

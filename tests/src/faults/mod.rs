//! The fault table: each row injects one fault for real, and then everything is looked at from outside.
//!
//! A row plays in a `World`, which notes what was acknowledged and who listened (`ledger`). At its end what
//! can be seen from outside is collected (`observe`) and judged by the six invariants (`judge`). `rows` has
//! the faults themselves. `cargo xtask faults` runs all of it, `cargo xtask test` a short selection.

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

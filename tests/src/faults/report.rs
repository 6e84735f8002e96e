//! The report for a row of the fault table.

use super::invariants::Violation;

#[derive(Debug, Default)]
pub struct RowReport {
    pub submissions: usize,
    pub violations: Vec<Violation>,
}

impl RowReport {
    #[must_use]
    pub fn merge(mut self, other: RowReport) -> RowReport {
        self.submissions += other.submissions;
        self.violations.extend(other.violations);
        self
    }
}

//! What a row found.

use super::invariants::Violation;

/// What a fault left behind.
#[derive(Debug, Default)]
pub struct RowReport {
    /// Submissions that were acknowledged.
    pub submissions: usize,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

impl RowReport {
    /// Both together: of a row with several cases.
    #[must_use]
    pub fn merge(mut self, other: RowReport) -> RowReport {
        self.submissions += other.submissions;
        self.violations.extend(other.violations);
        self
    }
}

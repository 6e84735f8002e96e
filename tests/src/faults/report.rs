//! What a row found.

use super::judge::Violation;

/// What a fault left behind.
#[derive(Debug, Default)]
pub struct Report {
    /// Submissions that were acknowledged.
    pub submissions: usize,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Both together: of a row with several cases.
    #[must_use]
    pub fn and(mut self, other: Report) -> Report {
        self.submissions += other.submissions;
        self.violations.extend(other.violations);
        self
    }
}

//! Counts the test results printed by the test runner.

use std::fmt;

/// Numbers of passed and failed tests across all test binaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TestCount {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl TestCount {
    /// Adds a test binary's result if `line` contains one.
    pub(crate) fn count(&mut self, line: &str) {
        // A result has the form `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let (Some(passed), Some(failed)) =
            (number_before(result, "passed;"), number_before(result, "failed;"))
        else {
            return;
        };
        self.passed += passed;
        self.failed += failed;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.passed + self.failed == 0
    }
}

/// Formats the last line of a run. The format must not change because other programs parse this line.
impl fmt::Display for TestCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

fn number_before(text: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let position = words.iter().position(|found| *found == word)?;
    words.get(position.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_from_several_binaries_are_added_up() {
        let mut count = TestCount::default();
        for line in [
            "running 4 tests",
            "test a::b ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.00s",
            "a test printed: test result: ok. 100 passed; 0 failed;",
        ] {
            count.count(line);
        }
        assert_eq!(count, TestCount { passed: 13, failed: 2 });
        assert_eq!(count.to_string(), "13 passed, 2 failed");
    }

    #[test]
    fn a_malformed_line_is_ignored() {
        let mut count = TestCount::default();
        count.count("test result: ok.");
        count.count("test result: passed; failed;");
        assert!(count.is_empty());
    }
}

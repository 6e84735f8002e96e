//! Limits log entries to one per cause per minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Causes logged within the last minute.
pub(crate) struct OncePerMinute<C> {
    logged: HashMap<C, Instant>,
}

impl<C: Eq + Hash> OncePerMinute<C> {
    pub(crate) fn new() -> Self {
        Self { logged: HashMap::new() }
    }

    /// Returns whether to log an entry with this cause now.
    pub(crate) fn admits(&mut self, cause: C) -> bool {
        self.admits_at(cause, Instant::now())
    }

    fn admits_at(&mut self, cause: C, now: Instant) -> bool {
        self.logged.retain(|_, at| now.saturating_duration_since(*at) < MINUTE);
        let is_new = !self.logged.contains_key(&cause);
        if is_new {
            self.logged.insert(cause, now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_per_minute() {
        let mut limit = OncePerMinute::new();
        let start = Instant::now();
        let mut admits =
            |cause, seconds| limit.admits_at(cause, start + Duration::from_secs(seconds));
        assert!(admits("refused", 0));
        assert!(!admits("refused", 1));
        assert!(admits("timeout", 2));
        assert!(!admits("refused", 59));
        assert!(admits("refused", 60));
        assert!(!admits("timeout", 61));
        assert!(!admits("refused", 119));
    }
}

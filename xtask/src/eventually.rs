//! Waits for a condition.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Calls `find` until it returns something, for 10 seconds at most.
///
/// Needed for ports and locks that were just released: another test may be starting a process at that moment, and the
/// new process shares all our open files until it calls `exec`.
pub(crate) fn eventually<T>(find: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match find() {
            None if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            found => return found,
        }
    }
}

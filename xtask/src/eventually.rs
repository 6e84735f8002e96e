//! Polls until a condition holds.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Calls `find` until it returns a value, for at most 10 seconds.
///
/// A port or lock may stay in use briefly after it is released: a process that another test is starting shares all open
/// files until it calls `exec`.
pub(crate) fn eventually<T>(find: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match find() {
            None if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            found => return found,
        }
    }
}

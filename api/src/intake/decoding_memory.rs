//! Limits the memory of all photos that are decoded at the same time: one file of a few megabytes can need hundreds.

use crate::intake::validation_errors::MAX_PIXELS;
use std::sync::{Condvar, Mutex, PoisonError};

/// Enough for any JPEG or PNG, and for a WebP of half the largest size. A larger WebP is decoded alone.
const CAPACITY: u64 = MAX_PIXELS * 6;

static FREE: Mutex<u64> = Mutex::new(CAPACITY);
static RELEASED: Condvar = Condvar::new();

/// Memory that is released when this is dropped.
pub(super) struct Reservation(u64);

/// Blocks the thread until so many bytes are free. More than the capacity counts as all of it.
pub(super) fn reserve(bytes: u64) -> Reservation {
    let bytes = bytes.min(CAPACITY);
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut free =
        RELEASED.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
    *free -= bytes;
    Reservation(bytes)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        RELEASED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_photo_waits_until_there_is_memory() {
        let first = reserve(CAPACITY);
        let (started, is_started) = mpsc::channel();
        let second = thread::spawn(move || {
            let _second = reserve(CAPACITY + 1);
            started.send(()).expect("a listening test");
        });
        assert!(is_started.recv_timeout(Duration::from_millis(50)).is_err());
        drop(first);
        is_started.recv().expect("the second photo");
        second.join().expect("an ended thread");
    }
}

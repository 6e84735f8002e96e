//! The two ways in which the simulators share state: a lock that survives a panic, and a bell that
//! rings on every change so that tests wait on conditions instead of sleeping.

use std::{
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// Locks `mutex`. A panicking test thread must not turn every later assertion into a poison error.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts changes; waiters look again after each one.
pub(crate) struct ChangeNotifier(watch::Sender<u64>);

impl ChangeNotifier {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Wakes every waiter. Call it after the change is visible.
    pub(crate) fn notify(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Waits until `find` returns something for the current `state`.
    ///
    /// # Errors
    /// [`WaitTimeout`] with the last state when `limit` has passed.
    pub(crate) async fn wait_for<S: Debug, T>(
        &self,
        limit: Duration,
        state: impl Fn() -> S,
        mut find: impl FnMut(&S) -> Option<T>,
    ) -> Result<T, WaitTimeout> {
        let mut changes = self.0.subscribe();
        let found = async {
            loop {
                // Marked as seen before looking: a change while looking wakes us again.
                changes.borrow_and_update();
                if let Some(found) = find(&state()) {
                    return Some(found);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        let found = tokio::time::timeout(limit, found).await.ok().flatten();
        found.ok_or_else(|| WaitTimeout { waited: limit, seen: format!("{:?}", state()) })
    }
}

/// A condition did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} in vain; seen so far: {seen}")]
pub struct WaitTimeout {
    /// How long was waited.
    pub waited: Duration,
    /// What was there instead, for the message of a failed test.
    pub seen: String,
}

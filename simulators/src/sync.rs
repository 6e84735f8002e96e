//! Helpers for shared state: a lock that survives panics, and a notifier that lets tests wait for a condition.

use std::{
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// Locks `mutex` even if a test thread panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct ChangeNotifier(watch::Sender<u64>);

impl ChangeNotifier {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Wakes all waiting tasks. Call this once the change is visible.
    pub(crate) fn notify(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Waits until `find` returns a value for the current `state`.
    pub(crate) async fn wait_for<S: Debug, T>(
        &self,
        limit: Duration,
        state: impl Fn() -> S,
        mut find: impl FnMut(&S) -> Option<T>,
    ) -> Result<T, WaitTimeout> {
        let mut changes = self.0.subscribe();
        let found = async {
            loop {
                // The version is marked as seen before `find` is called so that a change during the call wakes the next
                // wait.
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

#[derive(Debug, thiserror::Error)]
#[error("timed out after {waited:?}; last state: {seen}")]
pub struct WaitTimeout {
    pub waited: Duration,
    /// State at the time of the timeout, included in the failure message of a test.
    pub seen: String,
}

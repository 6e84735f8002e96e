//! Polls until a condition holds instead of sleeping for a fixed time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Time limit for most conditions. It is generous because other tests may keep the machine busy.
pub const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(25);

/// Polls until `poll` returns a value.
///
/// # Panics
///
/// Panics with a message that contains `what` if `poll` returns no value within [`LIMIT`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Debug,
    poll: impl FnMut() -> F,
) -> T {
    within(LIMIT, what, poll).await
}

/// Like [`eventually`], but with a custom time limit for conditions that take longer than [`LIMIT`] even on an idle
/// machine.
pub async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: impl Debug,
    mut poll: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(started.elapsed() < limit, "timed out after {limit:?} waiting for {what:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

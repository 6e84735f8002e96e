//! Waiting for a condition instead of for a time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long anything in a test may take before it counts as not happening. Generous: the machine may
/// be busy with other tests.
pub const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until `look` finds something.
///
/// # Panics
/// When it finds nothing within [`LIMIT`]; with `what`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Debug,
    poll: impl FnMut() -> F,
) -> T {
    within(LIMIT, what, poll).await
}

/// The same for what takes its time even where nobody is busy.
///
/// # Panics
/// When it finds nothing within `limit`; with `what`.
pub(crate) async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: impl Debug,
    mut poll: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain for {what:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

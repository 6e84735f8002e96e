//! Questions that the operator's pages ask, and that must not keep them waiting.

use std::time::Duration;

/// Longest wait: less than health checks and scrapers usually allow.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks; `None` when no answer came in time. In a task of its own, which goes on then: a statement
/// that is dropped in the middle costs its connection.
pub(super) async fn probe<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(TIMEOUT, tokio::spawn(check)).await.ok()?.ok()
}

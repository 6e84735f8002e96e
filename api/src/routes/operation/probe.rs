//! Queries of the health routes, with a short time limit.

use std::time::Duration;

/// Shorter than the usual limit of health checks and scrapers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// `None` if there is no answer in time. The query runs on in its own task: dropping it would cost its connection.
pub(super) async fn probe<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(TIMEOUT, tokio::spawn(check)).await.ok()?.ok()
}

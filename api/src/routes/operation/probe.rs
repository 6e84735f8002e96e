//! Runs the queries of health routes and metrics with a short time limit.

use std::time::Duration;

/// Shorter than the usual timeout of health checks and scrapers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Returns `None` if there is no response in time. The query then continues in its own task, because dropping it would
/// close its database connection.
pub(super) async fn probe<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(TIMEOUT, tokio::spawn(check)).await.ok()?.ok()
}

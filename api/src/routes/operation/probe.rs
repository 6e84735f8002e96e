//! Runs the queries behind the health and metrics routes with a short time limit.

use std::time::Duration;

/// Shorter than the usual timeouts of health checks and scrapers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Returns `None` if the query does not finish in time. A query that times out continues in its own task, because
/// dropping it would close its database connection.
pub(crate) async fn probe<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tokio::time::timeout(TIMEOUT, tokio::spawn(check)).await.ok()?.ok()
}

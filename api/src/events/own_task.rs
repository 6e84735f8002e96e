//! Runs event stream queries in separate tasks.

use diagflow_store::{StoreError, StoreResult};
use tracing::Instrument;

/// Runs a query to completion even if the client disconnects, because cancelling a statement would close its database
/// connection.
pub(super) async fn in_own_task<T: Send + 'static>(
    query: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    let done = tokio::spawn(query.in_current_span()).await;
    done.map_err(|_| StoreError::Unavailable("the query was aborted".to_owned()))?
}

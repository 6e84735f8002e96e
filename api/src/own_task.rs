//! Runs work in its own task, so that it is completed even if its caller stops waiting. Cancelling a database statement
//! would close its connection, and cancelling an operation could leave it incomplete.

use crate::error::{ApiError, ApiResult};
use crate::request_id;
use tracing::Instrument;

/// Runs `work` to completion, even if the caller stops waiting. If `work` panics, the binary's panic hook logs only the
/// location, because the message may contain personal data.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> ApiResult<T> {
    let work = request_id::scope(request_id::current(), work).in_current_span();
    let done = tokio::spawn(work).await;
    done.map_err(|_| ApiError::internal("the task panicked"))
}

//! Limits the time until a response. Handlers run in their own tasks and continue after a timeout or a disconnect, so
//! that no work is left half done.

use crate::app::AppState;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::content_encoding::GzipError;
use crate::openapi::error_responses;
use crate::openapi::route::{add_errors, writes};
use crate::request_id;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::iter::successors;
use std::time::Duration;
use tower_http::timeout::TimeoutError;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;

/// Limits the time until the responses of these routes begin, and documents the errors that each of them can
/// return.
pub(crate) fn time_limited(
    limit: Duration,
    mut router: OpenApiRouter<AppState>,
) -> OpenApiRouter<AppState> {
    let paths = &mut router.get_openapi_mut().paths;
    add_errors(paths, &[ErrorCode::Internal, ErrorCode::Unavailable, ErrorCode::Timeout]);
    for operation in writes(paths) {
        error_responses::add(operation, &[ErrorCode::OutcomeUnknown]);
    }
    router.layer(from_fn_with_state(limit, limit_time))
}

pub(crate) async fn limit_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(limit, run_to_completion(next.run(request))).await {
        Ok(Ok(response)) => response,
        Ok(Err(panicked)) => panicked.into_response(),
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// Runs `work` to completion, even if its caller stops waiting. If it panics, the binary's panic hook logs only the
/// location, because the message may contain personal data.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> ApiResult<T> {
    let work = request_id::scope(request_id::current(), work).in_current_span();
    let done = tokio::spawn(work).await;
    done.map_err(|_| ApiError::internal("the handler panicked"))
}

/// The error for an incomplete body: the client stalled or disconnected, or sent invalid gzip.
pub(crate) fn body_error(error: &(dyn Error + 'static)) -> ApiError {
    let causes = successors(Some(error), |error| (*error).source());
    for cause in causes {
        if cause.is::<TimeoutError>() {
            return ApiError::UploadTimeout;
        }
        if cause.is::<GzipError>() {
            return ApiError::InvalidGzip;
        }
    }
    ApiError::UploadIncomplete
}

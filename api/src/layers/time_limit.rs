//! Limits the time until a response begins, and the time within which a request body must arrive. Each handler runs in
//! its own task and continues after a timeout or a disconnect, so no operation is left incomplete.

use crate::app::AppState;
use crate::error::{ApiError, ErrorCode};
use crate::extract::content_encoding::{CompressedBodyTooLarge, GzipError};
use crate::openapi::error_responses;
use crate::openapi::route::{add_errors, writes};
use crate::own_task::run_to_completion;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::iter::successors;
use std::time::Duration;
use tower::ServiceBuilder;
use tower_http::timeout::{DeadlineBody, RequestBodyDeadlineLayer, TimeoutError};
use utoipa_axum::router::OpenApiRouter;

/// Limits the time until these routes begin to respond, and documents the errors that any of them can return. The whole
/// body must arrive within half of that time, so a slow client still gets a response and its connection is then
/// released.
pub(crate) fn time_limited(
    limit: Duration,
    mut router: OpenApiRouter<AppState>,
) -> OpenApiRouter<AppState> {
    let paths = &mut router.get_openapi_mut().paths;
    let any = [
        ErrorCode::HeadersTooLarge,
        ErrorCode::TooManyConnections,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
        ErrorCode::Busy,
        ErrorCode::Timeout,
    ];
    add_errors(paths, &any);
    for operation in writes(paths) {
        error_responses::add(operation, &[ErrorCode::OutcomeUnknown]);
    }
    router.layer(from_fn_with_state(limit, limit_time)).layer(
        ServiceBuilder::new()
            .layer(RequestBodyDeadlineLayer::new(limit / 2))
            .map_request(|request: axum::http::Request<DeadlineBody<Body>>| request.map(Body::new)),
    )
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

/// Returns the error for a body that cannot be read: the client stalled or disconnected, or sent gzip data that is
/// invalid or too large.
pub(crate) fn body_error(error: &(dyn Error + 'static)) -> ApiError {
    let causes = successors(Some(error), |error| (*error).source());
    for cause in causes {
        if cause.is::<TimeoutError>() {
            return ApiError::UploadTimeout;
        }
        if cause.is::<GzipError>() {
            return ApiError::InvalidGzip;
        }
        if let Some(CompressedBodyTooLarge { limit }) = cause.downcast_ref() {
            return ApiError::body_too_large(*limit);
        }
    }
    ApiError::UploadIncomplete
}

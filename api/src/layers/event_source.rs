//! Responses to an `EventSource` that exceeds a limit.

use crate::app::AppState;
use crate::events::wire;
use crate::extract::stream_client::accepts_event_stream;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use utoipa_axum::router::UtoipaMethodRouter;

/// Replaces 429 responses of an event stream, because an `EventSource` never reconnects after an error response. This
/// must be the outermost layer of the route.
pub(crate) fn reconnecting(
    (schemas, paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    (schemas, paths, router.route_layer(from_fn(replace_rejection)))
}

async fn replace_rejection(request: Request, next: Next) -> Response {
    let accepts_stream = accepts_event_stream(request.headers());
    let response = next.run(request).await;
    if !accepts_stream || response.status() != StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    let (mut rejection, _) = response.into_parts();
    let seconds = rejection.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let (stream, body) = wire::reconnect_after(seconds).into_parts();
    rejection.status = stream.status;
    // Cookies and rate limit headers remain.
    rejection.headers.remove(CONTENT_LENGTH);
    rejection.headers.extend(stream.headers);
    Response::from_parts(rejection, body)
}

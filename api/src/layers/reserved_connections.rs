//! Reserves the last free connections of a process for health checks and metrics.

use crate::error::ApiError;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const PATHS: [&str; 4] = ["/health", "/health/db", "/metrics", "/ready"];

/// Marks requests received on a reserved connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReservedConnection;

/// Refuses other requests on a reserved connection. The server closes these connections after the response.
pub(crate) async fn refuse_on_reserved_connection(request: Request, next: Next) -> Response {
    if request.extensions().get::<ReservedConnection>().is_none() {
        return next.run(request).await;
    }
    match PATHS.contains(&request.uri().path()) {
        // The body is dropped, because a client that sends it slowly would occupy the connection.
        true => next.run(request.map(|_| Body::empty())).await,
        false => ApiError::Busy.into_response(),
    }
}

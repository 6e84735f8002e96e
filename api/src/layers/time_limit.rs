//! Ends waiting, not work. A handler runs in a task of its own: a client that goes away, or an answer
//! that takes too long, never stops it half-way. Besides half-made things, that would be dangerous
//! for database connections: one whose statement is dropped in the middle goes back to the pool with
//! an answer still to come, which its next user would take for the answer to another question.

use super::request_id;
use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tracing::Instrument;

/// How long a client waits for the beginning of an answer, and what it is told then.
#[derive(Clone, Copy)]
pub(crate) enum TimeLimit {
    /// Of a request that only asks.
    Request(Duration),
    /// Of a request that uploads: what takes long is the upload.
    Upload(Duration),
}

/// See the head of this file.
pub(crate) async fn limit_time(
    State(limit): State<TimeLimit>,
    request: Request,
    next: Next,
) -> Response {
    let (time, late) = match limit {
        TimeLimit::Request(time) => (time, ApiError::Timeout),
        TimeLimit::Upload(time) => (time, ApiError::UploadTimeout),
    };
    let work = request_id::scope(request_id::current(), next.run(request)).in_current_span();
    match tokio::time::timeout(time, tokio::spawn(work)).await {
        Ok(Ok(response)) => response,
        // Panics end here too. Their text may hold anything, so only their place is logged, by the
        // binary's panic hook.
        Ok(Err(_)) => ApiError::Internal("the handler panicked".to_owned()).into_response(),
        Err(_) => late.into_response(),
    }
}

//! Limits the size of a request head. hyper's own limits are higher, because it rejects a request with a response that
//! has no body.

use crate::error::ApiError;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Maximum size of a request head, which matches nginx's default.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Maximum number of header lines, which matches hyper's default.
pub(crate) const MAX_HEADERS: usize = 100;
/// Maximum size of hyper's buffer for a head, which it also uses to read bodies.
pub(crate) const MAX_READ_BYTES: usize = 2 * MAX_HEAD_BYTES;

pub(crate) async fn limit_head(request: Request, next: Next) -> Response {
    if request.headers().len() > MAX_HEADERS || head_bytes(&request) > MAX_HEAD_BYTES {
        return ApiError::HeadersTooLarge.into_response();
    }
    next.run(request).await
}

/// Returns the size of the head as most clients send it.
fn head_bytes(request: &Request) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>() + "\r\n".len()
}

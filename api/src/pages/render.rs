use crate::error::ApiError;
use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY};
use axum::response::{Html, IntoResponse, Response};

/// Pages may load only this server's assets, and contain no inline scripts or styles. Previews of chosen photos are
/// `blob:` URLs.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
     connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Returns a page as a response.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (CACHE_CONTROL, "no-store"),
        (VARY, "Accept-Language, Cookie"),
    ];
    match template.render() {
        Ok(html) => (status, headers, Html(html)).into_response(),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

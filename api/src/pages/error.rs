use crate::error::{ApiError, ErrorCode};
use crate::pages::context::PageContext;
use crate::pages::render::page;
use askama::Template;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

/// An error shown as a page. Its response has the same status and headers as the API's error response.
#[derive(Debug)]
pub(crate) struct PageError {
    error: ApiError,
    context: PageContext,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorTemplate {
    page: PageContext,
    heading: String,
    advice: String,
    request_id: String,
    /// Whether the page belongs to the console, whose start page is not that of patients.
    is_console: bool,
}

impl PageError {
    pub(crate) fn in_context(error: ApiError, context: &PageContext) -> Self {
        Self { error, context: context.clone() }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Self { error, context } = self;
        let code = ErrorCode::from(&error);
        // Logs the error and determines the headers.
        let json = error.into_response();
        error_page(code, json.headers(), context)
    }
}

/// Returns the page for an error. `headers` are those of the API's error response.
pub(crate) fn error_page(code: ErrorCode, headers: &HeaderMap, context: PageContext) -> Response {
    let kind = match code.status().as_u16() {
        400 => "invalid",
        401 | 403 => "forbidden",
        404 | 405 => "not_found",
        410 => "gone",
        429 => "too_many_requests",
        503 => "unavailable",
        _ => "internal",
    };
    let template = ErrorTemplate {
        heading: context.text_for("common-error-heading", kind),
        advice: context.text_for("common-error-advice", kind),
        request_id: crate::request_id::current().to_string(),
        is_console: ["/admin", "/account"].iter().any(|path| context.address.starts_with(path)),
        page: context,
    };
    let mut response = page(code.status(), &template);
    if let Some(seconds) = headers.get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, seconds.clone());
    }
    response
}

/// Returns the response for an unknown path: a page for browsers, and JSON for other clients.
pub(crate) async fn not_found_page(request: Request) -> Response {
    let accepts_html = request
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    if !accepts_html || request.uri().path().starts_with("/api/") {
        return ApiError::NotFound.into_response();
    }
    let context = PageContext::of(request.headers(), request.uri());
    PageError::in_context(ApiError::NotFound, &context).into_response()
}

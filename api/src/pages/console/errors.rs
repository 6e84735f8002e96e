use crate::error::ErrorCode;
use crate::pages::context::PageContext;
use crate::pages::error::error_page;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// Shows the error responses of the console's handlers, extractors and layers as pages.
pub(super) async fn errors_as_pages(request: Request, next: Next) -> Response {
    let context = PageContext::of(request.headers(), request.uri());
    let response = next.run(request).await;
    match response.extensions().get::<ErrorCode>() {
        Some(code) => error_page(*code, response.headers(), context),
        None => response,
    }
}

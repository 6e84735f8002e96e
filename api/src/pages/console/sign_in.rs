use crate::pages::console::context::error_texts;
use crate::pages::context::PageContext;
use crate::pages::language::ReturnTo;
use crate::pages::local_path::local_path;
use crate::pages::render::page;
use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInTemplate {
    page: PageContext,
    /// The page to open after signing in, or an empty text.
    return_to: String,
    texts: Vec<(String, String)>,
}

pub(super) async fn read_sign_in_page(
    context: PageContext,
    Query(query): Query<ReturnTo>,
) -> Response {
    let template = SignInTemplate {
        return_to: local_path(&query.r#return).unwrap_or_default().to_owned(),
        texts: error_texts(&context),
        page: context,
    };
    page(StatusCode::OK, &template)
}

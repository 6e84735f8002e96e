//! The page of a submission: what happens with it now, and then its result. `scripts/submission.js` updates the page.
//! Without scripts, the browser reloads it.

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::extract::submission_access::SubmissionAccess;
use crate::pages::context::PageContext;
use crate::pages::error::PageError;
use crate::pages::patient::submission_view::SubmissionView;
use crate::pages::render::page;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

#[derive(Template)]
#[template(path = "patient/submission.html")]
struct SubmissionTemplate {
    page: PageContext,
    view: SubmissionView,
}

#[derive(Template)]
#[template(path = "patient/submission_denied.html")]
struct DeniedTemplate {
    page: PageContext,
}

pub(super) async fn read_submission_page(
    State(state): State<AppState>,
    context: PageContext,
    access: ApiResult<SubmissionAccess>,
) -> Response {
    let view = match access {
        Ok(access) => SubmissionView::read(&state, context.language, access).await,
        Err(error) => Err(error),
    };
    match view {
        Ok(view) => page(StatusCode::OK, &SubmissionTemplate { page: context, view }),
        Err(error) => error_page(context, error),
    }
}

/// Returns the page for an error. A patient who opens the page in another browser is told how to get the result.
pub(super) fn error_page(context: PageContext, error: ApiError) -> Response {
    if !matches!(error, ApiError::TokenRequired | ApiError::TokenInvalid | ApiError::NotFound) {
        return PageError::in_context(error, &context).into_response();
    }
    // Logs the error and determines the status.
    let status = error.into_response().status();
    page(status, &DeniedTemplate { page: context })
}

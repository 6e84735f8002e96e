use crate::app::AppState;
use crate::extract::submission_access::{cookies, page_path};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use diagflow_store::SubmissionId;

/// Returns a response that gives the browser access to the submission and redirects to its page.
pub(super) fn grant_access(state: &AppState, submission: SubmissionId) -> Response {
    let token = state.keys.submission_tokens.token(submission);
    let mut headers = HeaderMap::new();
    let ascii = |text: &str| HeaderValue::from_str(text).expect("ids and tokens are plain ASCII");
    headers.insert(LOCATION, ascii(&page_path(submission)));
    for cookie in cookies(&state.app.settings, submission, &token) {
        headers.append(SET_COOKIE, ascii(&cookie.to_string()));
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}

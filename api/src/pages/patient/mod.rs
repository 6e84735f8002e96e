//! The patient's pages: the form at `/`, and the page of a submission at `/s/{id}`.

mod access;
mod email_link;
mod form_errors;
mod start;
mod submission;
mod submission_actions;
pub(super) mod submission_report;
mod submission_steps;
mod submission_view;

use crate::app::AppState;
use crate::layers::limiters::RateLimitClass;
use crate::layers::rate_limit::rate_limited_router;
use crate::layers::time_limit::limit_time;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub(super) fn pages(state: &AppState) -> Router<AppState> {
    let submission = Router::new()
        .route("/s/{id}", get(submission::read_submission_page))
        .route("/s/{id}/cancel", get(submission_actions::confirm_cancellation))
        .route("/s/{id}/delete", get(submission_actions::confirm_deletion))
        .route(email_link::LINK_PATH, get(email_link::read_link))
        .route(email_link::NEW_LINK_PATH, get(email_link::confirm_new_link))
        .layer(from_fn_with_state(state.app.settings.request_timeout, limit_time));
    Router::new().route("/", get(start::read_start_page)).merge(submission)
}

/// The form's requests have the rate limits and the body limit of submissions, and their own time limit.
pub(super) fn form(state: &AppState) -> Router<AppState> {
    let form = post(start::submit_form);
    Router::new().route("/", form.layer(DefaultBodyLimit::max(state.app.settings.max_body())))
}

/// What patients do with their submissions.
pub(super) fn actions(state: &AppState) -> Router<AppState> {
    let actions = Router::new()
        .route("/s/{id}/cancel", post(submission_actions::cancel_submission))
        .route("/s/{id}/delete", post(submission_actions::delete_submission))
        .route(email_link::LINK_PATH, post(email_link::open_link))
        .route(email_link::NEW_LINK_PATH, post(email_link::request_new_link))
        .layer(from_fn_with_state(state.app.settings.request_timeout, limit_time));
    rate_limited_router(state, RateLimitClass::Cancel, actions)
}

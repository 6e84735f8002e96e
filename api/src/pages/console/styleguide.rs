//! A page that shows each component of the pages, for developers.

use crate::pages::console::context::ConsoleContext;
use crate::pages::context::PageContext;
use crate::pages::render::page;
use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use diagflow_store::{Role, Status};

/// States that are shown to staff only, in addition to [`Status`].
const OTHER_STATES: [&str; 2] = ["awaiting_review", "stuck"];

struct ShownError {
    target: &'static str,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "console/styleguide.html")]
struct StyleguideTemplate {
    page: ConsoleContext,
    now: DateTime<Utc>,
    statuses: &'static [Status],
    other_states: [&'static str; 2],
    errors: [ShownError; 1],
}

pub(super) async fn read_styleguide(context: PageContext) -> Response {
    let text = "Enter an e-mail address in the correct format, such as name@example.org.";
    let template = StyleguideTemplate {
        page: ConsoleContext::new(context, "Ana López", Role::Admin),
        now: Utc::now(),
        statuses: Status::ALL,
        other_states: OTHER_STATES,
        errors: [ShownError { target: "with-error", text }],
    };
    page(StatusCode::OK, &template)
}

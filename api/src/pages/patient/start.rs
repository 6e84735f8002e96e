//! The start page with the form. Without scripts, the browser sends the form and shows the submission's page, or the
//! form again with all errors. `scripts/submit.js` sends the same request.

use crate::app::AppState;
use crate::auth::random_secret::RandomSecret;
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use crate::intake::form_texts::FormTexts;
use crate::intake::receive::{check_content_length, receive_texts};
use crate::intake::store::StoredSubmission;
use crate::intake::submit::{self, SubmitOutcome};
use crate::intake::validation_errors::MAX_COMMENTS;
use crate::layers::limiters::{Counted, RateLimitClass};
use crate::pages::context::PageContext;
use crate::pages::patient::access::grant_access;
use crate::pages::patient::form_errors::{ShownError, shown_errors};
use crate::pages::render::page;
use crate::settings::{ApiSettings, MIB};
use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

#[derive(Template)]
#[template(path = "patient/start.html")]
struct StartTemplate<'a> {
    page: PageContext,
    errors: Vec<ShownError>,
    texts: FormTexts,
    idempotency_key: String,
    consent_version: &'a str,
    max_files: usize,
    max_megabytes: usize,
    max_comments: usize,
}

impl StartTemplate<'_> {
    fn has_error(&self, target: &str) -> bool {
        self.errors.iter().any(|error| error.target == target)
    }
}

fn start_page(
    settings: &ApiSettings,
    context: PageContext,
    status: StatusCode,
    errors: Vec<ShownError>,
    texts: FormTexts,
) -> Response {
    let new_key = || RandomSecret::new().reveal().to_owned();
    let template = StartTemplate {
        page: context,
        errors,
        idempotency_key: texts.idempotency_key.clone().unwrap_or_else(new_key),
        texts,
        consent_version: &settings.consent_version,
        max_files: settings.max_files,
        max_megabytes: settings.max_file_bytes / MIB,
        max_comments: MAX_COMMENTS,
    };
    page(status, &template)
}

pub(super) async fn read_start_page(
    State(state): State<AppState>,
    context: PageContext,
) -> Response {
    let settings = &state.app.settings;
    start_page(settings, context, StatusCode::OK, Vec::new(), FormTexts::default())
}

pub(super) async fn submit_form(
    State(state): State<AppState>,
    context: PageContext,
    request: Request,
) -> Response {
    let counted = match admit(&state, &request) {
        Ok(counted) => counted,
        Err(exceeded) => {
            let texts = receive_texts(&state, request).await;
            return rejected(&state, context, exceeded, texts);
        }
    };
    let SubmitOutcome { stored, texts, counted } =
        submit::submit(&state, request, context.language, counted).await;
    let mut response = match stored {
        Ok(StoredSubmission::Created(submission) | StoredSubmission::Replayed(submission)) => {
            grant_access(&state, submission)
        }
        Err(error) => rejected(&state, context, error, texts),
    };
    state.limiters.add_headers(counted, &mut response);
    response
}

/// Counts the request towards both limits for submissions, and checks its size. The limit for attempts is not a layer
/// here, as it is in the API, because the page must show the form with its texts again.
fn admit(state: &AppState, request: &Request) -> Result<Counted, ApiError> {
    let proxies = &state.app.settings.proxies;
    let client = ClientInfo::of(request.headers(), request.extensions(), proxies);
    state.limiters.admit(RateLimitClass::SubmitAttempt, client.key())?;
    check_content_length(request.headers(), &state.app.settings)?;
    submit::count(state, request)
}

/// Returns the form with the errors and the texts as entered. The browser does not send the chosen photos again.
fn rejected(
    state: &AppState,
    context: PageContext,
    error: ApiError,
    mut texts: FormTexts,
) -> Response {
    let errors = shown_errors(context.language, &error);
    // With any other error, the same form may be sent again, and must not be stored twice.
    if matches!(error, ApiError::IdempotencyKeyReused | ApiError::InvalidIdempotencyKey) {
        texts.idempotency_key = None;
    }
    if errors.iter().any(|error| error.target == "consent") {
        texts.consent = false;
    }
    // Logs the error and determines the status and headers.
    let mut json = error.into_response();
    let settings = &state.app.settings;
    let mut response = start_page(settings, context, json.status(), errors, texts);
    for header in [CONTENT_TYPE, CONTENT_LENGTH] {
        json.headers_mut().remove(header);
    }
    response.headers_mut().extend(std::mem::take(json.headers_mut()));
    response
}

use crate::app::AppState;
use crate::auth::guard::CREDENTIAL_ERRORS;
use crate::error::ErrorCode;
use crate::extract::accepted_language::accepted_language;
use crate::extract::body::READ_ERRORS;
use crate::extract::submission_access::{cancel_path, cookies, events_path, status_path};
use crate::header_names::IDEMPOTENCY_REPLAYED;
use crate::intake::receive::RECEIVE_ERRORS;
use crate::intake::store::{STORE_ERRORS, StoredSubmission, document_idempotency_key};
use crate::intake::submit::{self, SubmitOutcome};
use crate::openapi::names::SubmissionStatus;
use crate::openapi::route::{Documented, RouteDocument};
use crate::openapi::submission::{FormSubmission, JsonSubmission};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use diagflow_store::{Status, SubmissionId};
use serde::Serialize;
use std::convert::Infallible;
use utoipa::ToSchema;
use utoipa::openapi::{Required, Type};

/// The unread request. The handler reads the body itself so that it can count every outcome.
pub(crate) struct SubmissionRequest(Request);

impl<S: Send + Sync> FromRequest<S> for SubmissionRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl Documented for SubmissionRequest {
    fn document(route: &mut RouteDocument<'_>) {
        document_idempotency_key(route);
        route.add_header(
            "Accept-Language",
            Type::String,
            Required::False,
            "Preferred language of the e-mails about the submission: `en` (default) or `de`.",
        );
        route.add_errors(&[ErrorCode::HeadersTooLarge, ErrorCode::TooManyConnections]);
        route.add_errors(&CREDENTIAL_ERRORS);
        route.add_errors(&READ_ERRORS);
        route.add_errors(&RECEIVE_ERRORS);
        route.add_errors(&STORE_ERRORS);
    }
}

/// Send a submission
///
/// The response is sent immediately, and the diagnosis runs in the background. If the submission is invalid, the
/// response lists all errors. With an `Idempotency-Key`, repeating the request with the same content (as JSON or as a
/// form) returns the same response and does not create another submission. No account is required. If the
/// `Authorization` header contains account credentials, the submission appears in that account's own list of
/// submissions.
#[utoipa::path(
    post,
    path = "/api/user/submit",
    tag = "submissions",
    request_body(content(
        (JsonSubmission = "application/json"),
        (FormSubmission = "multipart/form-data"),
    )),
    responses(
        (status = 202, description = "The submission has been stored.", body = Receipt, headers(
            ("Location" = String, description = "Status URL, identical to `status_url`."),
            ("Set-Cookie" = String, description = "Cookies with the access token, limited to this submission's paths."),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request with the same key \
                created the submission."),
        )),
    ),
)]
pub(crate) async fn create_submission(
    State(state): State<AppState>,
    SubmissionRequest(request): SubmissionRequest,
) -> Response {
    let counted = match submit::count(&state, &request) {
        Ok(counted) => counted,
        Err(exceeded) => return exceeded.into_response(),
    };
    let language = accepted_language(request.headers());
    let SubmitOutcome { stored, counted, .. } =
        submit::submit(&state, request, language, counted).await;
    let mut response = match stored {
        Ok(StoredSubmission::Created(submission)) => receipt(&state, submission),
        Ok(StoredSubmission::Replayed(submission)) => (
            [(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"))],
            receipt(&state, submission),
        )
            .into_response(),
        Err(error) => error.into_response(),
    };
    state.limiters.add_headers(counted, &mut response);
    response
}

fn receipt(state: &AppState, submission: SubmissionId) -> Response {
    let settings = &state.app.settings;
    let token = state.keys.submission_tokens.token(submission);
    let status_url = settings.address(&status_path(submission));
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(&status_url) {
        headers.insert(LOCATION, location);
    }
    for cookie in cookies(settings, submission, &token) {
        let value = HeaderValue::from_str(&cookie.to_string());
        headers.append(SET_COOKIE, value.expect("ids and tokens are plain ASCII"));
    }
    let body = Receipt {
        success: true,
        message: "Your data is submitted. You will receive results via email.",
        submission_id: submission,
        status: Status::Pending.into(),
        status_url,
        events_url: settings.address(&events_path(submission)),
        cancel_url: settings.address(&cancel_path(submission)),
        access_token: token,
    };
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// Response to a submission.
#[derive(Debug, Serialize, ToSchema)]
struct Receipt {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Message for the patient.
    message: &'static str,
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Always `pending`. `status_url` returns the current status.
    status: SubmissionStatus,
    /// URL of the status.
    status_url: String,
    /// URL of the event stream.
    events_url: String,
    /// URL for the `POST` request that cancels the submission.
    cancel_url: String,
    /// Bearer token for the URLs in this response. The token is not shown again.
    access_token: String,
}

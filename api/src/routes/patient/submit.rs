use crate::app::AppState;
use crate::auth::audit::RequestTarget;
use crate::auth::caller::Caller;
use crate::auth::credentials::{authenticate, bearer};
use crate::auth::guard::{CREDENTIAL_ERRORS, optional_caller};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::READ_ERRORS;
use crate::extract::client_info::ClientInfo;
use crate::extract::submission_access::{cancel_path, cookies, events_path, status_path};
use crate::header_names::IDEMPOTENCY_REPLAYED;
use crate::intake::receive::{RECEIVE_ERRORS, receive};
use crate::intake::store::{
    STORE_ERRORS, StoredSubmission, document_idempotency_key, idempotency_key, store_submission,
};
use crate::layers::limiters::RateLimitClass;
use crate::layers::time_limit::run_to_completion;
use crate::openapi::names::SubmissionStatus;
use crate::openapi::route::{Documented, RouteDocument};
use crate::openapi::submission::{FormSubmission, JsonSubmission};
use crate::telemetry;
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use diagflow_store::{Status, SubmissionId};
use serde::Serialize;
use std::convert::Infallible;
use utoipa::ToSchema;

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
    let proxies = &state.app.settings.proxies;
    let client = ClientInfo::of(request.headers(), request.extensions(), proxies);
    let counted = match state.limiters.count(RateLimitClass::Submit, client.key()) {
        Ok(counted) => counted,
        Err(exceeded) => return exceeded.into_response(),
    };
    let owned = state.clone();
    let done = run_to_completion(async move {
        let stored = receive_and_store(&owned, request).await;
        // The count is reverted here so that it happens even if the client has disconnected.
        let counts = counts_as_submission(&stored);
        let counted = if counts { counted } else { owned.limiters.revert(counted) };
        (stored, counted)
    });
    let (stored, counted) = done.await.unwrap_or_else(|panicked| (Err(panicked), counted));
    telemetry::submission(match &stored {
        Ok(StoredSubmission::Created(_)) => "accepted",
        Ok(StoredSubmission::Replayed(_)) => "replayed",
        Err(error) => error.code(),
    });
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

/// Whether a request counts towards the submission limit. A request counts if its submission was stored or may have
/// been stored.
fn counts_as_submission(stored: &ApiResult<StoredSubmission>) -> bool {
    match stored {
        Ok(StoredSubmission::Created(_)) => true,
        Ok(StoredSubmission::Replayed(_)) => false,
        Err(error) => matches!(error, ApiError::OutcomeUnknown | ApiError::Internal(_)),
    }
}

async fn receive_and_store(state: &AppState, request: Request) -> ApiResult<StoredSubmission> {
    let key = idempotency_key(request.headers())?;
    let sender = sender(state, &request).await?;
    let submission = receive(state, request).await?;
    let owned = state.clone();
    let stored =
        run_to_completion(async move { store_submission(&owned, key, submission, sender).await });
    match tokio::time::timeout(state.app.settings.request_timeout, stored).await {
        Ok(stored) => stored.flatten(),
        // The submission may still be stored after this timeout.
        Err(_) => Err(ApiError::OutcomeUnknown),
    }
}

/// Returns the account that sent the submission, if any. The existing front end sends submissions without an account.
fn sender(
    state: &AppState,
    request: &Request,
) -> impl Future<Output = ApiResult<Option<Caller>>> + Send + use<> {
    let (state, target) = (state.clone(), RequestTarget::of(request));
    let headers = request.headers().clone();
    let proxies = &state.app.settings.proxies;
    let client = ClientInfo::of(&headers, request.extensions(), proxies);
    async move {
        if bearer(&headers).is_some() {
            return optional_caller(&state, &target, &headers, client).await;
        }
        // Browsers send session cookies automatically, even after the session has ended. An expired session must not
        // cause a submission to be rejected.
        match authenticate(&state, target.method(), &headers, client).await {
            Ok(caller) => Ok(caller),
            Err(failure) if failure.error.is_client_error() => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_only_if_its_submission_may_have_been_stored() {
        let id = SubmissionId::new();
        for stored in [
            Ok(StoredSubmission::Created(id)),
            Err(ApiError::OutcomeUnknown),
            Err(ApiError::internal("a panic")),
        ] {
            assert!(counts_as_submission(&stored), "{stored:?}");
        }
        for refused in [
            Ok(StoredSubmission::Replayed(id)),
            Err(ApiError::InvalidSubmission(Vec::new())),
            Err(ApiError::IdempotencyKeyInUse),
            Err(ApiError::IdempotencyKeyReused),
            Err(ApiError::TokenRevoked),
            Err(ApiError::UploadTimeout),
            Err(ApiError::UploadIncomplete),
            Err(ApiError::Busy),
            Err(ApiError::TooManyOpenSubmissions),
            Err(ApiError::DailyLimitReached { seconds: 1 }),
            Err(ApiError::unavailable("no database")),
        ] {
            assert!(!counts_as_submission(&refused), "{refused:?}");
        }
    }
}

//! `POST /api/hooks/loopai`: LoopAI says that an execution changed.

use crate::app::AppState;
use crate::auth::caller::somebody_did;
use crate::auth::refusals::refuse;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::origin::Origin;
use crate::layers::time_limit::broken_off;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use chrono::Utc;
use diagflow_store::{Action, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call-back names a submission; what is longer is none.
pub(crate) const LARGEST_CALL_BACK: usize = 64 * 1024;

/// What LoopAI calls back with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CallBack {
    /// The `submission_id` of the request that it answers.
    #[schema(format = "uuid")]
    submission_id: String,
}

/// That it was noted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Noted {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
}

/// Wakes the submission's run, which then looks at its execution without waiting for its timer.
///
/// Only what that look finds is believed. There when `LOOPAI_CALLBACK_SECRET` is set.
#[utoipa::path(
    post,
    path = "/api/hooks/loopai",
    tag = "loopai",
    params(
        ("X-LoopAI-Timestamp" = i64, Header, description = "Time of sending: seconds since 1970 (UTC)."),
        ("X-LoopAI-Signature" = String, Header,
            description = "HMAC-SHA256 of `{timestamp}.{body}` with the secret, in hexadecimal."),
    ),
    request_body = CallBack,
    responses(
        (status = 202, description = "Noted.", body = Noted),
        (status = 400, description = "`invalid_json`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 401, description = "`invalid_signature`: wrong, or sent more than five minutes ago", body = ErrorBody),
        (status = 404, description = "`not_found`: no such submission, or call-backs are not set up", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn called_back(
    State(state): State<AppState>,
    origin: Origin,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> ApiResult<(StatusCode, Json<Noted>)> {
    let key = state.keys.call_backs.as_ref().ok_or(ApiError::NotFound)?;
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::RequestTooLarge { limit_kib: LARGEST_CALL_BACK / 1024 }
        }
        _ => broken_off(&refused),
    })?;
    if let Err(refusal) = key.check(&headers, &body, Utc::now().timestamp()) {
        let line = somebody_did(&state, &origin, "", Action::Access);
        let line = line.with("route", "POST /api/hooks/loopai");
        return Err(refuse(&state, &origin, line, refusal).await);
    }
    let call_back: CallBack = serde_json::from_slice(&body)
        .map_err(|error| ApiError::InvalidJson { line: error.line(), column: error.column() })?;
    let id: SubmissionId = call_back.submission_id.parse().map_err(|_| ApiError::NotFound)?;
    let submission = state.app.store.submission(id).await?.ok_or(ApiError::NotFound)?;
    if !submission.status.is_final() {
        state.limiters.admit_call_back(id)?;
        let woken = state.app.runs.wake(id).await;
        woken.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    }
    Ok((StatusCode::ACCEPTED, Json(Noted { success: true })))
}

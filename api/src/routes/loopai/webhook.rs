//! `POST /api/hooks/loopai`: LoopAI says that an execution changed.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::anonymous_entry;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use crate::layers::time_limit::body_error;
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
pub(crate) const MAX_CALLBACK_BYTES: usize = 64 * 1024;

/// What LoopAI calls back with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct LoopAiCallback {
    /// The `submission_id` of the request that it answers.
    #[schema(format = "uuid")]
    submission_id: String,
}

/// That it was noted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallbackAccepted {
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
    request_body = LoopAiCallback,
    responses(
        (status = 202, description = "Noted.", body = CallbackAccepted),
        (status = 400, description = "`invalid_json`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 401, description = "`invalid_signature`: wrong, or sent more than five minutes ago", body = ErrorBody),
        (status = 404, description = "`not_found`: no such submission, or call-backs are not set up", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn loopai_callback(
    State(state): State<AppState>,
    client: ClientInfo,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> ApiResult<(StatusCode, Json<CallbackAccepted>)> {
    let key = state.keys.webhook.as_ref().ok_or(ApiError::NotFound)?;
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::RequestTooLarge { limit_kib: MAX_CALLBACK_BYTES / 1024 }
        }
        _ => body_error(&refused),
    })?;
    if let Err(refusal) = key.verify(&headers, &body, Utc::now().timestamp()) {
        let entry = anonymous_entry(&state, &client, "", Action::Access);
        let entry = entry.with("route", "POST /api/hooks/loopai");
        return Err(refuse(&state, &client, entry, refusal).await);
    }
    let callback: LoopAiCallback = serde_json::from_slice(&body)
        .map_err(|error| ApiError::InvalidJson { line: error.line(), column: error.column() })?;
    let id: SubmissionId = callback.submission_id.parse().map_err(|_| ApiError::NotFound)?;
    let submission = state.app.store.submission(id).await?.ok_or(ApiError::NotFound)?;
    if !submission.status.is_final() {
        state.limiters.admit_callback(id)?;
        let woken = state.app.temporal_runs.notify_execution_changed(id).await;
        woken.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    }
    Ok((StatusCode::ACCEPTED, Json(CallbackAccepted { success: true })))
}

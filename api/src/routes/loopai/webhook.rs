use crate::app::AppState;
use crate::auth::audit::refuse_unauthenticated;
use crate::auth::caller::anonymous_entry;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::body::{READ_ERRORS, read};
use crate::extract::client_info::ClientInfo;
use crate::extract::json_text::lenient;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::{Json, RequestExt};
use chrono::Utc;
use diagflow_store::{Action, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{Required, Type};

/// Maximum size of a callback body, which only needs to contain a submission id.
const MAX_BYTES: usize = 64 * 1024;

/// A callback from LoopAI.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct LoopAiCallback {
    /// The `submission_id` from our request to LoopAI.
    #[schema(format = "uuid")]
    submission_id: String,
}

pub(crate) struct SignedCallback(LoopAiCallback);

impl FromRequest<AppState> for SignedCallback {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, state: &AppState) -> ApiResult<Self> {
        let key = state.keys.webhook.as_ref().ok_or(ApiError::NotFound)?;
        let Ok(client) = request.extract_parts_with_state::<ClientInfo, _>(state).await;
        let headers = request.headers().clone();
        let body = read(request, MAX_BYTES).await?;
        if let Err(error) = key.verify(&headers, &body, Utc::now().timestamp()) {
            let entry = anonymous_entry(state, &client, "", Action::Access);
            let entry = entry.with("route", "POST /api/hooks/loopai");
            return Err(refuse_unauthenticated(state, &client, entry, error).await);
        }
        serde_json::from_slice(&lenient(body))
            .map(Self)
            .map_err(|error| ApiError::invalid_json(&error))
    }
}

impl Documented for SignedCallback {
    fn document(route: &mut RouteDocument<'_>) {
        let name = "X-LoopAI-Timestamp";
        let description = "Time at which the callback was sent, as a Unix timestamp in seconds.";
        route.add_header(name, Type::Integer, Required::True, description);
        let name = "X-LoopAI-Signature";
        let description =
            "Hexadecimal HMAC-SHA256 of `{timestamp}.{body}`, keyed with the shared secret.";
        route.add_header(name, Type::String, Required::True, description);
        route.add_json_body::<LoopAiCallback>();
        route.add_errors(&READ_ERRORS);
        route.add_errors(&[
            ErrorCode::InvalidJson,
            ErrorCode::InvalidSignature,
            ErrorCode::NotFound,
        ]);
    }
}

/// Response to an accepted callback.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallbackAccepted {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
}

/// Report a changed execution
///
/// Makes the submission's run poll LoopAI immediately instead of waiting for its timer. The run reads the execution's
/// state from LoopAI, not from this request. This route is available only if `LOOPAI_CALLBACK_SECRET` is set.
#[utoipa::path(
    post,
    path = "/api/hooks/loopai",
    tag = "loopai",
    responses((status = 202, description = "The callback was accepted.", body = CallbackAccepted)),
)]
pub(crate) async fn report_execution_change(
    State(state): State<AppState>,
    SignedCallback(callback): SignedCallback,
) -> ApiResult<(StatusCode, Json<CallbackAccepted>)> {
    let id: SubmissionId = callback.submission_id.parse().map_err(|_| ApiError::NotFound)?;
    let submission = state.app.store.submission(id).await?.ok_or(ApiError::NotFound)?;
    if !submission.status.is_final() {
        state.limiters.admit_callback(id)?;
        let woken = state.app.dispatch.temporal.notify_execution_changed(id).await;
        woken.map_err(|error| ApiError::unavailable(error))?;
    }
    Ok((StatusCode::ACCEPTED, Json(CallbackAccepted { success: true })))
}

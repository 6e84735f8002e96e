use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, DeliveryId, ResendOutcome, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// Outcome of a request to resend an e-mail. `planned`: a new copy will be sent. `in_progress`: a copy is already being
/// sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MailResendOutcome {
    Planned,
    InProgress,
}

/// The e-mail that will be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResendResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Id of the delivery: either the new copy or the copy that is already being sent.
    #[schema(format = "uuid")]
    delivery_id: String,
    /// Outcome of the request.
    outcome: MailResendOutcome,
}

errors!(ResendDeliveryErrors: Superseded);

/// Resend an e-mail
///
/// Sends a new copy of an e-mail whose status is *sent*, *unknown* or *failed*, unless the submission has since been
/// retried. Repeating the request does not create another copy until the first copy is *sent*, *unknown* or *failed*.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/deliveries/{delivery_id}/resend",
    tag = "staff",
    responses(
        (status = 202, description = "The e-mail will be sent.", body = ResendResponse),
        ResendDeliveryErrors,
    ),
)]
pub(crate) async fn resend_delivery(
    State(state): State<AppState>,
    caller: Caller,
    PathId((id, delivery)): PathId<(SubmissionId, DeliveryId)>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<ResendResponse>)> {
    let entry =
        reason.audit_entry(&caller, Action::MailResend, id).with("delivery", delivery.to_string());
    let (outcome, delivery) = match state.app.store.resend_delivery(id, delivery, &entry).await? {
        ResendOutcome::Planned(copy) => (MailResendOutcome::Planned, copy),
        ResendOutcome::InProgress(copy) => (MailResendOutcome::InProgress, copy),
        ResendOutcome::Superseded => return Err(refuse(&state, entry, ApiError::Superseded).await),
        ResendOutcome::NotFound => return Err(refuse(&state, entry, ApiError::NotFound).await),
    };
    state.app.dispatch.wake_reconciler();
    let body = ResendResponse { success: true, delivery_id: delivery.to_string(), outcome };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

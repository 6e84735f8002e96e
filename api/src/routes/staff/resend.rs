//! `POST /api/admin/submissions/{id}/deliveries/{delivery_id}/resend`: sends an e-mail again.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, DeliveryId, ResendOutcome, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// The e-mail that is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResendResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The delivery that is on its way: a new copy, or one that was before.
    #[schema(format = "uuid")]
    delivery_id: String,
    /// `planned`: a new copy. `in_progress`: one is on its way already.
    #[schema(example = "planned")]
    outcome: &'static str,
}

/// Sends an e-mail again whose fate is settled: *sent*, *unknown* or *failed*.
///
/// Only what still holds is sent again. Asking twice is asking once, until the copy is settled.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/deliveries/{delivery_id}/resend",
    tag = "staff",
    params(
        ("id" = String, Path, description = "The submission.", format = "uuid"),
        ("delivery_id" = String, Path, description = "The delivery, or any copy of it.", format = "uuid"),
    ),
    request_body = ReasonBody,
    responses(
        (status = 202, description = "It is on its way.", body = ResendResponse),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`superseded`: the submission was set going again since", body = ErrorBody),
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
        ResendOutcome::Planned(copy) => ("planned", copy),
        ResendOutcome::InProgress(copy) => ("in_progress", copy),
        ResendOutcome::Superseded => return Err(ApiError::Superseded),
        ResendOutcome::NotFound => return refused(&state, entry, ApiError::NotFound).await,
    };
    state.app.temporal_runs.wake_reconciler();
    let body = ResendResponse { success: true, delivery_id: delivery.to_string(), outcome };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

//! `POST /api/admin/submissions/{id}/deliveries/{delivery_id}/resend`: sends an e-mail again.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::named::Named;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, DeliveryId, Resending, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// The e-mail that is on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resent {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The delivery that is on its way: a new copy, or one that was before.
    #[schema(format = "uuid")]
    delivery_id: String,
    /// `planned`: a new copy. `under_way`: one is on its way already.
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
    operation_id = "resend_delivery",
    params(
        ("id" = String, Path, description = "The submission.", format = "uuid"),
        ("delivery_id" = String, Path, description = "The delivery, or any copy of it.", format = "uuid"),
    ),
    request_body = ReasonBody,
    responses(
        (status = 202, description = "It is on its way.", body = Resent),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`overtaken`: the submission was set going again since", body = ErrorBody),
    ),
)]
pub(crate) async fn resend(
    State(state): State<AppState>,
    caller: Caller,
    Named((id, delivery)): Named<(SubmissionId, DeliveryId)>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<Resent>)> {
    let line = reason.line(&caller, Action::MailResend, id).with("delivery", delivery.to_string());
    let (outcome, delivery) = match state.app.store.resend(id, delivery, &line).await? {
        Resending::Planned(copy) => ("planned", copy),
        Resending::UnderWay(copy) => ("under_way", copy),
        Resending::Overtaken => return Err(ApiError::Overtaken),
        Resending::Missing => return refused(&state, line, ApiError::NotFound).await,
    };
    state.app.runs.tell_soon();
    let body = Resent { success: true, delivery_id: delivery.to_string(), outcome };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

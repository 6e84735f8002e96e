//! `POST /api/admin/submissions/{id}/cancel`: calls a submission off.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::named::Named;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use crate::routes::staff::moved::Moved;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, Cancelling, SubmissionId};

/// Calls a submission off, in any state that is not final. The patient is told.
///
/// A run that goes on in Temporal hears of it at once, or when Temporal is back. Asking twice is asking
/// once.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/cancel",
    tag = "staff",
    operation_id = "cancel_submission",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 202, description = "`cancelling`: its run was told, or will be. `cancelled`: it is.", body = Moved),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`already_final`", body = ErrorBody),
    ),
)]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<SubmissionId>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<Moved>)> {
    let line = reason.line(&caller, Action::SubmissionCancel, id);
    let (outcome, run) = match state.app.store.request_cancel(id, &line).await? {
        Cancelling::Noted(run) => ("cancelling", Some(run.number)),
        Cancelling::Cancelled => ("cancelled", None),
        Cancelling::Final(_) => return Err(ApiError::AlreadyFinal),
        Cancelling::Missing => return refused(&state, line, ApiError::NotFound).await,
    };
    state.app.runs.tell_soon();
    let body = Moved { success: true, submission_id: id.to_string(), outcome, run };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

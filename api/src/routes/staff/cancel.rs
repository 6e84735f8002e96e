//! `POST /api/admin/submissions/{id}/cancel`: calls a submission off.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use crate::routes::staff::response::StaffActionResponse;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, CancelOutcome, SubmissionId};

/// Calls a submission off, in any state that is not final. The patient is told.
///
/// A run that goes on in Temporal hears of it at once, or when Temporal is back. Asking twice is asking
/// once.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/cancel",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 202, description = "`cancelling`: its run was told, or will be. `cancelled`: it is.", body = StaffActionResponse),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`already_final`", body = ErrorBody),
    ),
)]
pub(crate) async fn cancel_submission(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<StaffActionResponse>)> {
    let entry = reason.audit_entry(&caller, Action::SubmissionCancel, id);
    let (outcome, run) = match state.app.store.request_cancel(id, &entry).await? {
        CancelOutcome::Requested(run) => ("cancelling", Some(run.number)),
        CancelOutcome::Cancelled => ("cancelled", None),
        CancelOutcome::Final(_) => return Err(ApiError::AlreadyFinal),
        CancelOutcome::NotFound => return refused(&state, entry, ApiError::NotFound).await,
    };
    state.app.temporal_runs.wake_reconciler();
    let body = StaffActionResponse { success: true, submission_id: id.to_string(), outcome, run };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

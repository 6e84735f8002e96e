use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use crate::routes::staff::response::StaffActionResponse;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, CancelOutcome, SubmissionId};

errors!(CancelSubmissionErrors: AlreadyFinal);

/// Cancel a submission
///
/// The submission must not be in a final state. The patient is informed by e-mail. If the run has already started, it
/// is cancelled as soon as Temporal is available. Safe to repeat.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/cancel",
    tag = "staff",
    responses(
        (
            status = 202,
            description = "`cancelling`: the run is being cancelled. `cancelled`: the submission is cancelled.",
            body = StaffActionResponse,
        ),
        CancelSubmissionErrors,
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
        CancelOutcome::Final(_) => return Err(refuse(&state, entry, ApiError::AlreadyFinal).await),
        CancelOutcome::NotFound => return Err(refuse(&state, entry, ApiError::NotFound).await),
    };
    state.app.dispatch.wake_reconciler();
    let body = StaffActionResponse { success: true, submission_id: id.to_string(), outcome, run };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

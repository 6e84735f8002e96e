use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::routes::cancellation::{CancelErrors, Cancellation, cancel};
use crate::routes::staff::response::{StaffActionOutcome, StaffActionResponse};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, SubmissionId};

/// Cancel a submission
///
/// The submission must not be in a final state. The patient is notified by e-mail. If the run has already started, it
/// is cancelled as soon as Temporal is available. Repeating the request has no further effect.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/cancel",
    tag = "staff",
    responses(
        (
            status = 202,
            description = "`cancelling`: the run is being cancelled. `cancelled`: the submission has been cancelled.",
            body = StaffActionResponse,
        ),
        CancelErrors,
    ),
)]
pub(crate) async fn cancel_submission(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<StaffActionResponse>)> {
    let entry = reason.audit_entry(&caller, Action::SubmissionCancel, id);
    let (outcome, run) = match cancel(&state, id, entry).await? {
        Cancellation::Requested(run) => (StaffActionOutcome::Cancelling, Some(run)),
        Cancellation::Done => (StaffActionOutcome::Cancelled, None),
    };
    let body = StaffActionResponse { success: true, submission_id: id.to_string(), outcome, run };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

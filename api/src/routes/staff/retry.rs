use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::routes::staff::response::{StaffActionOutcome, StaffActionResponse};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, RetryOutcome, SubmissionId};

/// Retry a submission
///
/// Starts a new run for a submission in any final state, including *completed*. Unsent e-mails from earlier runs are
/// cancelled. The patient is notified of the new run's outcome by e-mail. While a run is in progress, repeating the
/// request does not start another run.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/retry",
    tag = "staff",
    responses(
        (
            status = 200,
            description = "`in_progress`: the submission is already being processed.",
            body = StaffActionResponse,
        ),
        (status = 202, description = "`queued`: a new run will start soon.", body = StaffActionResponse),
    ),
)]
pub(crate) async fn retry_submission(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<StaffActionResponse>)> {
    let entry = reason.audit_entry(&caller, Action::SubmissionRetry, id);
    let grace = state.app.settings.start_grace;
    let (status, outcome, run) = match state.app.store.retry_submission(id, grace, &entry).await? {
        RetryOutcome::Queued(run) => {
            state.app.dispatch.start_soon(run);
            (StatusCode::ACCEPTED, StaffActionOutcome::Queued, run)
        }
        RetryOutcome::InProgress(run) => (StatusCode::OK, StaffActionOutcome::InProgress, run),
        RetryOutcome::NotFound => return Err(refuse(&state, entry, ApiError::NotFound).await),
    };
    let (submission_id, run) = (id.to_string(), Some(run.number));
    Ok((status, Json(StaffActionResponse { success: true, submission_id, outcome, run })))
}

//! `POST /api/admin/submissions/{id}/retry`: sets a submission going again.

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
use diagflow_store::{Action, RetryOutcome, SubmissionId};

/// Sets a submission that has ended going again, also a completed one, as a new run.
///
/// What its earlier runs still owed the patient is not sent any more: the new run tells how it ends. Asking
/// twice is asking once.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/retry",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "`in_progress`: it goes on already.", body = StaffActionResponse),
        (status = 202, description = "`queued`: its new run starts soon.", body = StaffActionResponse),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
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
            state.app.start_queue.push(run);
            (StatusCode::ACCEPTED, "queued", run)
        }
        RetryOutcome::InProgress(run) => (StatusCode::OK, "in_progress", run),
        RetryOutcome::NotFound => return refused(&state, entry, ApiError::NotFound).await,
    };
    let submission_id = id.to_string();
    Ok((
        status,
        Json(StaffActionResponse { success: true, submission_id, outcome, run: Some(run.number) }),
    ))
}

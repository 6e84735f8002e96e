//! `POST /api/admin/submissions/{id}/retry`: sets a submission going again.

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
use diagflow_store::{Action, Retrying, SubmissionId};

/// Sets a submission that has ended going again, also a completed one, as a new run.
///
/// What its earlier runs still owed the patient is not sent any more: the new run tells how it ends. Asking
/// twice is asking once.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/retry",
    tag = "staff",
    operation_id = "retry_submission",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "`under_way`: it goes on already.", body = Moved),
        (status = 202, description = "`queued`: its new run starts soon.", body = Moved),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<SubmissionId>,
    reason: Reason,
) -> ApiResult<(StatusCode, Json<Moved>)> {
    let line = reason.line(&caller, Action::SubmissionRetry, id);
    let grace = state.app.settings.start_grace;
    let (status, outcome, run) = match state.app.store.retry(id, grace, &line).await? {
        Retrying::Queued(run) => {
            state.app.outbox.start_soon(run);
            (StatusCode::ACCEPTED, "queued", run)
        }
        Retrying::UnderWay(run) => (StatusCode::OK, "under_way", run),
        Retrying::Missing => return refused(&state, line, ApiError::NotFound).await,
    };
    let submission_id = id.to_string();
    Ok((status, Json(Moved { success: true, submission_id, outcome, run: Some(run.number) })))
}

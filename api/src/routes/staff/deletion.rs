//! `DELETE /api/admin/submissions/{id}` and `POST …/restore`. Nothing is removed: a deleted submission is
//! gone for its patient and for lists, until it is restored.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, DeleteOutcome, NewAuditEntry, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletionResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether it is deleted now.
    deleted: bool,
    /// Whether this request changed that, and not an earlier one.
    changed: bool,
}

/// Deletes a submission that is in a final state.
///
/// It is gone for its patient, and from lists unless they ask for it; an e-mail that it still owes is not
/// sent. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/api/admin/submissions/{id}",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "It is deleted.", body = DeletionResponse),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`not_final`: cancel it first", body = ErrorBody),
    ),
)]
pub(crate) async fn delete_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionResponse>> {
    let entry = reason.audit_entry(&caller, Action::SubmissionDelete, id);
    let done = state.app.store.delete_submission(id, &entry).await?;
    deletion_response(&state, done, true, entry).await
}

/// Takes a deletion back. Safe to repeat.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/restore",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "It is not deleted.", body = DeletionResponse),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn restore_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionResponse>> {
    let entry = reason.audit_entry(&caller, Action::SubmissionRestore, id);
    let done = state.app.store.restore_submission(id, &entry).await?;
    deletion_response(&state, done, false, entry).await
}

/// Tells what came of it, and writes down a refusal; what was done is written down already.
async fn deletion_response(
    state: &AppState,
    done: DeleteOutcome,
    deleted: bool,
    entry: NewAuditEntry,
) -> ApiResult<Json<DeletionResponse>> {
    let refusal = match done {
        DeleteOutcome::Done | DeleteOutcome::Unchanged => {
            let changed = done == DeleteOutcome::Done;
            return Ok(Json(DeletionResponse { success: true, deleted, changed }));
        }
        DeleteOutcome::NotFinal(_) => ApiError::NotFinal,
        DeleteOutcome::NotFound => ApiError::NotFound,
    };
    refused(state, entry, refusal).await
}

//! `DELETE /api/admin/submissions/{id}` and `POST …/restore`. Nothing is removed: a deleted submission is
//! gone for its patient and for lists, until it is restored.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::named::Named;
use crate::extract::reason::{Reason, ReasonBody};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, AuditEntry, Deletion, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletionBody {
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
    operation_id = "delete_submission",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "It is deleted.", body = DeletionBody),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`not_final`: cancel it first", body = ErrorBody),
    ),
)]
pub(crate) async fn delete(
    Named(id): Named<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionBody>> {
    let line = reason.line(&caller, Action::SubmissionDelete, id);
    let done = state.app.store.delete_submission(id, &line).await?;
    settled(&state, done, true, line).await
}

/// Takes a deletion back. Safe to repeat.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/restore",
    tag = "staff",
    operation_id = "restore_submission",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    request_body = ReasonBody,
    responses(
        (status = 200, description = "It is not deleted.", body = DeletionBody),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn restore(
    Named(id): Named<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionBody>> {
    let line = reason.line(&caller, Action::SubmissionRestore, id);
    let done = state.app.store.restore_submission(id, &line).await?;
    settled(&state, done, false, line).await
}

/// Tells what came of it, and writes down a refusal; what was done is written down already.
async fn settled(
    state: &AppState,
    done: Deletion,
    deleted: bool,
    line: AuditEntry,
) -> ApiResult<Json<DeletionBody>> {
    let refusal = match done {
        Deletion::Done | Deletion::Unchanged => {
            let changed = done == Deletion::Done;
            return Ok(Json(DeletionBody { success: true, deleted, changed }));
        }
        Deletion::NotFinal(_) => ApiError::NotFinal,
        Deletion::Unknown => ApiError::NotFound,
    };
    refused(state, line, refusal).await
}

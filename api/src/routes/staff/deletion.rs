use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, DeleteOutcome, NewAuditEntry, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a deletion or restoration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletionResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether the submission is deleted after this request.
    deleted: bool,
    /// Whether this request changed the value of `deleted`.
    changed: bool,
}

errors!(DeleteSubmissionErrors: NotFinal);

/// Delete a submission
///
/// The submission must be in a final state. A deleted submission is hidden from its patient, from staff without the
/// `submissions:delete` permission, and from lists that do not explicitly include deleted submissions. Unsent e-mails
/// are cancelled. No data is removed unless the submission is erased. Repeating the request has no further effect.
#[utoipa::path(
    delete,
    path = "/api/admin/submissions/{id}",
    tag = "staff",
    responses(
        (status = 200, description = "The submission has been deleted.", body = DeletionResponse),
        DeleteSubmissionErrors,
    ),
)]
pub(crate) async fn delete_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionResponse>> {
    let entry = reason.audit_entry(&caller, Action::SubmissionDelete, id);
    let outcome = state.app.store.delete_submission(id, &entry).await?;
    deletion_response(&state, outcome, true, entry).await
}

errors!(RestoreSubmissionErrors: Erased);

/// Restore a deleted submission
///
/// An erased submission cannot be restored. Repeating the request has no further effect.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/restore",
    tag = "staff",
    responses(
        (status = 200, description = "The submission has been restored.", body = DeletionResponse),
        RestoreSubmissionErrors,
    ),
)]
pub(crate) async fn restore_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<DeletionResponse>> {
    let entry = reason.audit_entry(&caller, Action::SubmissionRestore, id);
    let outcome = state.app.store.restore_submission(id, &entry).await?;
    deletion_response(&state, outcome, false, entry).await
}

async fn deletion_response(
    state: &AppState,
    outcome: DeleteOutcome,
    deleted: bool,
    entry: NewAuditEntry,
) -> ApiResult<Json<DeletionResponse>> {
    let changed = match outcome {
        DeleteOutcome::Done => true,
        DeleteOutcome::Unchanged => false,
        DeleteOutcome::NotFinal(_) => return Err(refuse(state, entry, ApiError::NotFinal).await),
        DeleteOutcome::Erased => return Err(refuse(state, entry, ApiError::Erased).await),
        DeleteOutcome::NotFound => return Err(refuse(state, entry, ApiError::NotFound).await),
    };
    Ok(Json(DeletionResponse { success: true, deleted, changed }))
}

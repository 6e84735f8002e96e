use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::erasure_receipt::ErasureReceiptBody;
use crate::openapi::error_responses::errors;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, EraseOutcome, Erasure, ErasureReceipt, ObjectKind, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Confirmation of an erasure.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseRequest {
    /// Reason, 1 to 500 characters. The reason is stored in the audit log and in the receipt, so do not include the
    /// patient's personal data.
    #[schema(value_type = String, example = "The patient asked for it", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Id of the submission, repeated to confirm the erasure.
    #[schema(value_type = String, format = "uuid", example = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11")]
    confirm: Option<String>,
}

/// The result of an erasure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether this request erased the submission. `false` if it had already been erased.
    changed: bool,
    /// Number of files that could not be deleted yet because the file storage did not respond. They will be deleted
    /// later.
    pending_files: usize,
    /// Erasure receipt. To verify its signature, use `diagflow erase verify`.
    #[schema(value_type = ErasureReceiptBody)]
    receipt: ErasureReceipt,
}

errors!(EraseSubmissionErrors: ReasonRequired, ConfirmationRequired, EmailInProgress);

/// Erase a submission
///
/// Permanently removes the submission's addresses, comments, notes, results, error texts and files, even if a backup is
/// restored later. An open run is cancelled, and unsent e-mails are not sent. The id, states, times, consent version
/// and audit entries remain. Repeating the request has no further effect and returns the same receipt.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/erase",
    tag = "staff",
    responses(
        (status = 200, description = "The submission has been erased.", body = EraseResponse),
        EraseSubmissionErrors,
    ),
)]
pub(crate) async fn erase_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    Body(request): Body<EraseRequest>,
) -> ApiResult<Json<EraseResponse>> {
    let Reason(reason) = Reason::parse(request.reason)?;
    if request.confirm != Some(id.to_string()) {
        return Err(ApiError::ConfirmationRequired);
    }
    let entry = caller.audit_entry(Action::SubmissionErase, ObjectKind::Submission, id);
    let (changed, erasure) = match state.app.eraser.erase(id, &reason, &entry).await? {
        EraseOutcome::Erased(erasure) => (true, erasure),
        EraseOutcome::Unchanged(erasure) => (false, erasure),
        EraseOutcome::EmailInProgress { left } => {
            let error = ApiError::EmailInProgress { seconds: left.as_secs() + 1 };
            return Err(refuse(&state, entry.with("reason", reason), error).await);
        }
        EraseOutcome::NotFound => {
            return Err(refuse(&state, entry.with("reason", reason), ApiError::NotFound).await);
        }
    };
    // Passes the cancellation of an open run to Temporal.
    state.app.dispatch.wake_reconciler();
    let Erasure { receipt, pending_files } = erasure;
    Ok(Json(EraseResponse { success: true, changed, pending_files, receipt }))
}

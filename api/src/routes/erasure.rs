//! Erases a submission on behalf of staff or the patient.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::error::{ApiError, ApiResult};
use crate::openapi::erasure_receipt::ErasureReceiptBody;
use crate::openapi::error_responses::errors;
use diagflow_store::{EraseOutcome, Erasure, ErasureReceipt, NewAuditEntry, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

errors!(EraseErrors: ConfirmationRequired, EmailInProgress);

/// The result of an erasure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether this request erased the submission. `false` if it had already been erased.
    changed: bool,
    /// Number of files that could not be deleted yet because the file storage did not respond, or because an upload of
    /// the same photo has not been completed. They will be deleted later unless the upload is completed.
    pending_files: usize,
    /// Erasure receipt. To verify its signature, use `diagflow erase verify`.
    #[schema(value_type = ErasureReceiptBody)]
    receipt: ErasureReceipt,
}

/// `reason` is stored in the receipt and in the audit log.
pub(crate) async fn erase(
    state: &AppState,
    id: SubmissionId,
    reason: &str,
    entry: NewAuditEntry,
) -> ApiResult<EraseResponse> {
    let (changed, erasure) = match state.app.eraser.erase(id, reason, &entry).await? {
        EraseOutcome::Erased(erasure) => (true, erasure),
        EraseOutcome::Unchanged(erasure) => (false, erasure),
        EraseOutcome::EmailInProgress { left } => {
            let error = ApiError::EmailInProgress { seconds: left.as_secs() + 1 };
            return Err(refuse(state, entry.with("reason", reason), error).await);
        }
        EraseOutcome::NotFound => {
            return Err(refuse(state, entry.with("reason", reason), ApiError::NotFound).await);
        }
    };
    // Passes the cancellation of an open run to Temporal.
    state.app.dispatch.wake_reconciler();
    let Erasure { receipt, pending_files } = erasure;
    Ok(EraseResponse { success: true, changed, pending_files, receipt })
}

/// Returns an error unless `confirm` repeats the submission's id.
pub(super) fn check_confirmation(confirm: Option<&str>, id: SubmissionId) -> ApiResult<()> {
    match confirm {
        Some(confirm) if confirm == id.to_string() => Ok(()),
        _ => Err(ApiError::ConfirmationRequired),
    }
}

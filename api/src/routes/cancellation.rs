//! Cancels a submission on behalf of staff or the patient.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::error::{ApiError, ApiResult};
use crate::openapi::error_responses::errors;
use diagflow_store::{CancelOutcome, NewAuditEntry, SubmissionId};

errors!(CancelErrors: AlreadyFinal);

pub(crate) enum Cancellation {
    /// Temporal will cancel the run with this number.
    Requested(i32),
    Done,
}

pub(crate) async fn cancel(
    state: &AppState,
    id: SubmissionId,
    entry: NewAuditEntry,
) -> ApiResult<Cancellation> {
    let cancellation = match state.app.store.request_cancel(id, &entry).await? {
        CancelOutcome::Requested(run) => Cancellation::Requested(run.number),
        CancelOutcome::Cancelled => Cancellation::Done,
        CancelOutcome::Final(_) => return Err(refuse(state, entry, ApiError::AlreadyFinal).await),
        CancelOutcome::NotFound => return Err(refuse(state, entry, ApiError::NotFound).await),
    };
    state.app.dispatch.wake_reconciler();
    Ok(cancellation)
}

//! Records how runs ended, and counts them.

use crate::telemetry;
use diagflow_store::{
    DiagnosisResult, EndStatus, RunEnd, RunKey, Status, Store, StoreResult, TransitionOutcome,
};

/// Stores the result. If the database can never store it, the run fails immediately because retries would fail as well.
pub(crate) async fn complete_run(
    store: &Store,
    run: RunKey,
    result: &DiagnosisResult,
) -> StoreResult<TransitionOutcome> {
    match store.complete_run(run, result).await {
        Err(error) if error.is_rejection() => {
            let code = error.failure_code();
            let submission = run.submission;
            tracing::error!(%submission, %code, error = error.kind(), "the database cannot store the result");
            let status = EndStatus::Failed;
            let end = RunEnd { status, code: code.to_string(), detail: error.kind() };
            count_end(store.end_run(run, &end).await, Status::Failed)
        }
        stored => count_end(stored, Status::Completed),
    }
}

/// Increments the counter of ended submissions if `stored` shows that this call recorded the end.
pub(crate) fn count_end(
    stored: StoreResult<TransitionOutcome>,
    status: Status,
) -> StoreResult<TransitionOutcome> {
    if matches!(stored, Ok(TransitionOutcome::Applied(()))) {
        telemetry::submission_ended(status);
    }
    stored
}

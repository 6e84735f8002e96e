use crate::dispatch::failing_task::{FailingTask, failing_attempt};
use crate::history::failure::FailureBody;
use serde::Serialize;
use temporalio_client::WorkflowExecutionDescription;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use utoipa::ToSchema;

/// Why a run is stuck. Its workflow task fails on every attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StuckBody {
    /// Current attempt number, starting at 1.
    #[schema(example = 12)]
    attempt: i32,
    /// Cause reported by Temporal.
    #[schema(example = "non_deterministic_error")]
    cause: String,
    /// Failure of the first attempt.
    #[schema(required)]
    failure: Option<FailureBody>,
}

impl StuckBody {
    /// Returns `None` if the run is not stuck.
    pub(super) fn of(
        execution: &WorkflowExecutionDescription,
        events: &[HistoryEvent],
    ) -> Option<StuckBody> {
        let attempt = failing_attempt(execution)?;
        let FailingTask { cause, failure } = FailingTask::of(events);
        Some(StuckBody { attempt, cause, failure: failure.as_ref().map(FailureBody::of) })
    }
}

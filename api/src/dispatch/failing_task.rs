//! Detects runs that make no progress because their workflow task fails on every attempt.

use temporalio_client::WorkflowExecutionDescription;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowTaskFailedCause;
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

/// Attempt at which a run counts as stuck. If a worker is killed during a workflow task, the second attempt succeeds.
const STUCK_ATTEMPTS: i32 = 3;

/// Why a stuck run's workflow task fails.
pub(crate) struct FailingTask {
    pub(crate) cause: String,
    pub(crate) failure: Option<Failure>,
}

/// Returns the current attempt number of the workflow task if the execution is stuck.
pub(crate) fn failing_attempt(execution: &WorkflowExecutionDescription) -> Option<i32> {
    let task = execution.raw().pending_workflow_task.as_ref()?;
    let is_stuck = execution.close_time().is_none() && task.attempt >= STUCK_ATTEMPTS;
    is_stuck.then_some(task.attempt)
}

impl FailingTask {
    /// Reads the cause from the history of a stuck execution. Temporal records only the first attempt's failure.
    pub(crate) fn of(events: &[HistoryEvent]) -> FailingTask {
        let newest = events.iter().rev().find_map(|event| match event.attributes.as_ref()? {
            Attributes::WorkflowTaskFailedEventAttributes(failed) => Some(FailingTask {
                cause: cause_name(failed.cause()),
                failure: failed.failure.clone(),
            }),
            Attributes::WorkflowTaskTimedOutEventAttributes(_) => Some(FailingTask::timed_out()),
            _ => None,
        });
        newest.unwrap_or_else(FailingTask::timed_out)
    }

    /// If no failure was recorded, the workers crashed or did not respond.
    fn timed_out() -> FailingTask {
        FailingTask { cause: "workflow_task_timed_out".to_owned(), failure: None }
    }
}

/// For example, converts `WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR` to `non_deterministic_error`.
fn cause_name(cause: WorkflowTaskFailedCause) -> String {
    cause.as_str_name().trim_start_matches("WORKFLOW_TASK_FAILED_CAUSE_").to_lowercase()
}

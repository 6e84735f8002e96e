//! What a patient may expect while a submission is open: why it waits, its place in the queue, and when it will end.

use crate::app::AppState;
use diagflow_store::{RunKey, Status, Step, StoreResult, Submission, UtcTime};
use serde::Serialize;
use utoipa::ToSchema;

/// Reason a submission is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitingReason {
    /// LoopAI is busy or unavailable.
    LoopaiBusy,
    /// Staff have paused requests to LoopAI.
    Paused,
}

/// All members have their default values for a submission that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Expectations {
    pub(crate) waiting_reason: Option<WaitingReason>,
    pub(crate) queue_position: Option<i64>,
    pub(crate) usually_seconds: Option<u64>,
    pub(crate) deadline_at: Option<UtcTime>,
    /// Whether a cancellation has been requested.
    pub(crate) is_cancelling: bool,
}

impl Expectations {
    /// `step` is the step of the submission's latest event.
    pub(crate) async fn of(
        state: &AppState,
        submission: &Submission,
        step: Option<Step>,
    ) -> StoreResult<Self> {
        if submission.status.is_final() {
            return Ok(Self::default());
        }
        let (store, deadline) = (&state.app.store, state.app.dispatch.deadline);
        let run = RunKey { submission: submission.id, number: submission.run_number };
        let wait = store.wait_status(run).await?;
        let is_waiting = submission.status == Status::Pending && step == Some(Step::Waiting);
        let waiting_reason = match (wait.is_paused, is_waiting) {
            (true, _) => Some(WaitingReason::Paused),
            (false, true) => Some(WaitingReason::LoopaiBusy),
            (false, false) => None,
        };
        Ok(Self {
            waiting_reason,
            queue_position: wait.queue_position.filter(|_| is_waiting),
            usually_seconds: state.usual_time.seconds(store).await,
            deadline_at: wait.started_at.map(|started_at| started_at + deadline),
            is_cancelling: wait.is_cancelling,
        })
    }
}

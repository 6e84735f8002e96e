use crate::extract::time_format::rfc3339;
use crate::history::changed_options::ChangedOptions;
use crate::history::describe;
use crate::history::failure::FailureBody;
use serde::Serialize;
use std::time::SystemTime;
use temporalio_client::WorkflowExecutionDescription;
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use temporalio_common::protos::temporal::api::workflow::v1::pending_activity_info::PauseInfo;
use temporalio_common::protos::temporal::api::workflow::v1::pending_activity_info::pause_info::PausedBy;
use utoipa::ToSchema;

/// An activity that has not finished yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingActivity {
    /// Description of the activity.
    #[schema(example = "E-mail to the patient")]
    description: String,
    /// Temporal activity type.
    #[schema(example = "DiagnosisActivities::deliver")]
    activity: String,
    /// Activity id, for use with the `temporal activity` command.
    #[schema(example = "3")]
    activity_id: String,
    /// State of the activity.
    state: PendingState,
    /// Number of the current or next attempt, starting at 1.
    attempt: i32,
    /// Failure of the last attempt.
    #[schema(required)]
    last_failure: Option<FailureBody>,
    /// Time of the next attempt. `null` if an attempt is in progress or the activity is paused.
    #[schema(required, format = "date-time")]
    next_attempt_at: Option<String>,
    /// Who paused the activity in Temporal, when and why. `null` if the activity is not paused.
    #[schema(required)]
    pause: Option<PauseBody>,
    /// Current timeouts and retry policy. `null` unless they were changed in Temporal.
    #[schema(required)]
    changed_options: Option<ChangedOptions>,
}

/// State of a pending activity. `waiting`: the activity is waiting for its next attempt or for a worker. `in_progress`:
/// a worker is executing an attempt. `pausing`: the activity will be paused after the current attempt. `paused`: no
/// attempt starts until the activity is unpaused. `cancelling`: cancellation has been requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PendingState {
    Waiting,
    InProgress,
    Pausing,
    Paused,
    Cancelling,
}

/// Who paused an activity, when and why.
#[derive(Debug, Serialize, ToSchema)]
struct PauseBody {
    /// Time of the pause.
    #[schema(required, format = "date-time")]
    at: Option<String>,
    /// Identity of whoever paused the activity, as reported by Temporal.
    #[schema(example = "ana@laptop")]
    by: String,
    /// Reason given for the pause.
    reason: String,
}

pub(super) fn pending_activities(
    description: &WorkflowExecutionDescription,
    events: &[HistoryEvent],
) -> Vec<PendingActivity> {
    let pending = description.raw().pending_activities.iter();
    pending.map(|info| PendingActivity::of(info, events)).collect()
}

impl PendingActivity {
    fn of(info: &PendingActivityInfo, events: &[HistoryEvent]) -> PendingActivity {
        let activity =
            info.activity_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
        let state = PendingState::of(info);
        let next_attempt = match state {
            PendingState::Paused => None,
            _ => info.next_attempt_schedule_time,
        };
        PendingActivity {
            description: describe::activity_name(&activity).to_owned(),
            activity_id: info.activity_id.clone(),
            state,
            attempt: info.attempt,
            last_failure: info.last_failure.as_ref().map(FailureBody::of),
            next_attempt_at: next_attempt.and_then(|at| SystemTime::try_from(at).ok()).map(rfc3339),
            pause: info.pause_info.as_ref().filter(|_| info.paused).map(PauseBody::of),
            changed_options: ChangedOptions::of(info, events),
            activity,
        }
    }
}

impl PendingState {
    fn of(info: &PendingActivityInfo) -> PendingState {
        match info.state() {
            PendingActivityState::Started => PendingState::InProgress,
            PendingActivityState::PauseRequested => PendingState::Pausing,
            PendingActivityState::Paused => PendingState::Paused,
            PendingActivityState::CancelRequested => PendingState::Cancelling,
            PendingActivityState::Scheduled | PendingActivityState::Unspecified => {
                PendingState::Waiting
            }
        }
    }
}

impl PauseBody {
    fn of(info: &PauseInfo) -> PauseBody {
        let (by, reason) = match info.paused_by.clone() {
            Some(PausedBy::Manual(manual)) => (manual.identity, manual.reason),
            Some(PausedBy::Rule(rule)) => (rule.identity, rule.reason),
            None => (String::new(), String::new()),
        };
        let at = info.pause_time.and_then(|at| SystemTime::try_from(at).ok()).map(rfc3339);
        PauseBody { at, by, reason }
    }
}

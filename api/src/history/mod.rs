//! Describes the workflow histories of runs and e-mails for staff.
//!
//! Histories contain only ids and codes, so a description cannot show a patient's data. A failure is described by its
//! type and message, which are our codes or Temporal's own texts.

pub(crate) mod describe;
pub(crate) mod execution;
pub(crate) mod failure;

use crate::extract::time_format::rfc3339;
use crate::history::failure::FailureBody;
use serde::Serialize;
use std::time::SystemTime;
use temporalio_client::WorkflowExecutionDescription;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use utoipa::ToSchema;

/// An activity that is in progress or waiting for its next attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingActivity {
    /// Description of the activity.
    #[schema(example = "E-mail to the patient")]
    description: String,
    /// Activity type in Temporal.
    #[schema(example = "DiagnosisActivities::deliver")]
    activity: String,
    /// Number of the current or next attempt, from 1.
    attempt: i32,
    /// Failure of the last attempt.
    #[schema(required)]
    last_failure: Option<FailureBody>,
    /// Time of the next attempt. `null` during an attempt.
    #[schema(required, format = "date-time")]
    next_attempt_at: Option<String>,
}

fn pending_activities(description: &WorkflowExecutionDescription) -> Vec<PendingActivity> {
    description.raw().pending_activities.iter().map(PendingActivity::of).collect()
}

impl PendingActivity {
    fn of(info: &PendingActivityInfo) -> PendingActivity {
        let activity =
            info.activity_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
        PendingActivity {
            description: describe::activity_name(&activity).to_owned(),
            attempt: info.attempt,
            last_failure: info.last_failure.as_ref().map(FailureBody::of),
            next_attempt_at: info
                .next_attempt_schedule_time
                .and_then(|at| SystemTime::try_from(at).ok())
                .map(rfc3339),
            activity,
        }
    }
}

/// The status as shown in the Temporal UI.
fn status_name(description: &WorkflowExecutionDescription) -> String {
    format!("{:?}", description.status())
}

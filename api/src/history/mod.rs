//! What Temporal has of a submission's runs and e-mails, in plain words.
//!
//! Histories hold ids and codes only, so nothing here can show what a patient sent. Of failures only type
//! and message are shown, which are codes of ours, or Temporal's own words.

pub(crate) mod describe;
pub(crate) mod execution;
pub(crate) mod failure;

use crate::history::failure::FailureBody;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::time::SystemTime;
use temporalio_client::WorkflowExecutionDescription;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use utoipa::ToSchema;

/// An activity that is not done yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingActivity {
    /// What it does.
    #[schema(example = "E-mailing the patient")]
    description: String,
    /// Its name in Temporal.
    #[schema(example = "DiagnosisActivities::deliver")]
    activity: String,
    /// Which attempt is under way, or comes next; from 1.
    attempt: i32,
    /// Why the last attempt failed.
    last_failure: Option<FailureBody>,
    /// When the next attempt begins (UTC); none while one is under way.
    #[schema(format = "date-time")]
    next_attempt_at: Option<String>,
}

/// What is not done yet in an execution.
fn pending_activities(description: &WorkflowExecutionDescription) -> Vec<PendingActivity> {
    description.raw().pending_activities.iter().map(PendingActivity::of).collect()
}

impl PendingActivity {
    fn of(info: &PendingActivityInfo) -> PendingActivity {
        let activity =
            info.activity_type.as_ref().map(|kind| kind.name.clone()).unwrap_or_default();
        PendingActivity {
            description: describe::activity_in_progress(&activity).to_owned(),
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

/// How an execution stands in Temporal, in the words of its UI.
fn status_name(description: &WorkflowExecutionDescription) -> String {
    format!("{:?}", description.status())
}

/// A time as it stands in answers.
fn rfc3339(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

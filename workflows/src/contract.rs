//! The data that the API, the workflows and their activities exchange: names, ids and verdicts.
//!
//! All of it is written into Temporal's history, so it contains ids and codes but no personal data: no e-mail
//! address, comment, image or result.

use crate::policy::PollSchedule;
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_common::search_attributes::SearchAttributeKey;
use temporalio_macros::activity_definitions;

pub const TASK_QUEUE: &str = "diagnosis";

pub const SUBMISSION_STATUS: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("SubmissionStatus");
pub const FAILURE_CODE: SearchAttributeKey<String> = SearchAttributeKey::keyword("FailureCode");
/// The LoopAI agent that makes the diagnosis.
pub const AGENT_ID: SearchAttributeKey<i64> = SearchAttributeKey::int("AgentId");

pub const CODE_DEADLINE_EXCEEDED: &str = "deadline_exceeded";
pub const CODE_CANCELLED: &str = "cancelled";
pub const CODE_SUPERSEDED: &str = "superseded";
/// The mail server did not accept an e-mail outside a run.
pub const CODE_MAIL_FAILED: &str = "mail_failed";
/// The mail server may have accepted an e-mail outside a run.
pub const CODE_MAIL_UNKNOWN: &str = "mail_unknown";

/// Declares an id that is written into Temporal's history as plain text. Separate types prevent passing one id for
/// another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(id: impl ToString) -> Self {
                Self(id.to_string())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(SubmissionRef);
text_id!(DeliveryRef);
text_id! {
    /// LoopAI's id of an execution.
    ExecutionId
}
text_id!(TemporalRunId);

impl SubmissionRef {
    /// The workflow id of the submission's runs; only one of them is open at a time.
    pub fn workflow_id(&self) -> String {
        format!("submission-{}", self.0)
    }
}

impl DeliveryRef {
    /// The workflow id of a delivery outside a run.
    pub fn workflow_id(&self) -> String {
        format!("delivery-{}", self.0)
    }
}

/// Input of a delivery outside a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryInput {
    pub delivery_id: DeliveryRef,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisInput {
    pub submission_id: SubmissionRef,
    /// Number of the run within the submission, from 1.
    pub run: i32,
    pub schedule: PollSchedule,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    pub submission_id: SubmissionRef,
    /// The number that the run was started with. After a *Reset* the database assigns a new one.
    pub run: i32,
    /// The Temporal execution in which the history began. After a *Reset* it is not the current one.
    pub first_run_id: TemporalRunId,
}

/// Status of a submission, named as in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    #[default]
    Pending,
    Processing,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
}

impl RunStatus {
    /// The name in the database, search attributes and the API.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Processing => "processing",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::TimedOut => "timed_out",
            RunStatus::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutcome {
    pub status: RunStatus,
    /// Failure code, unless it completed.
    pub code: Option<String>,
    /// The e-mail that is due for it.
    pub delivery_id: Option<DeliveryRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RequestVerdict {
    Accepted {
        execution_id: ExecutionId,
        agent_id: i64,
    },
    /// Refused for a reason that an operator usually has to fix (such as 401 for our key).
    Refused {
        code: String,
    },
    /// The run has ended and that is recorded: LoopAI rejected it permanently, or it had ended before.
    Ended(RunOutcome),
    Superseded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInput {
    pub run: RunRef,
    pub execution_id: ExecutionId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CheckVerdict {
    Running,
    /// No usable response this time; the next poll may get one.
    Unreachable {
        code: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Refused for a reason that an operator usually has to fix (such as 404 for a known execution).
    Refused {
        code: String,
    },
    /// The run has ended and that is recorded.
    Ended(RunOutcome),
    Superseded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndInput {
    pub run: RunRef,
    /// The final status; never `pending`, `processing` or `completed`.
    pub status: RunStatus,
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum EndVerdict {
    /// The run has ended. The outcome differs from the input if another end was recorded first.
    Ended(RunOutcome),
    Superseded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverInput {
    pub delivery_id: DeliveryRef,
    /// Do not send the e-mail, only record that it was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverVerdict {
    Sent,
    /// The mail server may have accepted it.
    Unknown,
    /// It was not sent and will not be.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunState {
    pub status: RunStatus,
    pub execution_id: Option<ExecutionId>,
    pub polls: u32,
    /// Code of the last failed poll or of the failed run.
    pub code: Option<String>,
}

pub use activities::DiagnosisActivities;

mod activities {
    use super::*;

    /// The activities' names and types. The crate `activities` implements them.
    pub struct DiagnosisActivities;

    #[activity_definitions]
    impl DiagnosisActivities {
        #[activity]
        pub fn request_diagnosis(run: RunRef) -> Result<RequestVerdict, ActivityError> {
            unimplemented!()
        }

        #[activity]
        pub fn check_execution(input: CheckInput) -> Result<CheckVerdict, ActivityError> {
            unimplemented!()
        }

        #[activity]
        pub fn end_diagnosis(input: EndInput) -> Result<EndVerdict, ActivityError> {
            unimplemented!()
        }

        #[activity]
        pub fn deliver(input: DeliverInput) -> Result<DeliverVerdict, ActivityError> {
            unimplemented!()
        }
    }

    pub use diagnosis_activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

pub mod definitions {
    pub use super::activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

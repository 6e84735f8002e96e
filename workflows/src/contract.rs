//! The contract between the API, the workflows and their activities: names, ids and verdicts.
//!
//! All of it is written into Temporal's history, so it contains ids and codes but no personal data: no e-mail
//! address, comment, image or result.

use crate::policy::PollSchedule;
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_common::search_attributes::SearchAttributeKey;
use temporalio_macros::activity_definitions;

/// Search attribute: the status of the submission ([`RunStatus::name`]).
pub const SUBMISSION_STATUS: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("SubmissionStatus");
/// Search attribute: the failure code of the run.
pub const FAILURE_CODE: SearchAttributeKey<String> = SearchAttributeKey::keyword("FailureCode");
/// Search attribute: the LoopAI agent that makes the diagnosis.
pub const AGENT_ID: SearchAttributeKey<i64> = SearchAttributeKey::int("AgentId");

/// Code of a run that LoopAI did not finish before the deadline.
pub const CODE_DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// Code of a cancelled run.
pub const CODE_CANCELLED: &str = "cancelled";
/// Code of a run that a newer one replaced.
pub const CODE_SUPERSEDED: &str = "superseded";
/// Code of an e-mail outside a run that was not accepted.
pub const CODE_MAIL_FAILED: &str = "mail_failed";
/// Code of an e-mail outside a run whose outcome is unknown.
pub const CODE_MAIL_UNKNOWN: &str = "mail_unknown";

/// Declares an id that is written into Temporal's history as plain text. A type for each, so that one cannot be
/// passed for another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// From the id's text form.
            pub fn new(id: impl ToString) -> Self {
                Self(id.to_string())
            }

            /// The id's text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// A submission.
    SubmissionRef
}
text_id! {
    /// An e-mail delivery.
    DeliveryRef
}
text_id! {
    /// An execution at LoopAI, by LoopAI's own id.
    ExecutionId
}
text_id! {
    /// A Temporal execution of a workflow.
    TemporalRunId
}

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
    /// The delivery.
    pub delivery_id: DeliveryRef,
}

/// Input of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisInput {
    /// The submission.
    pub submission_id: SubmissionRef,
    /// Number of the run within the submission, from 1.
    pub run: i32,
    /// When to poll LoopAI, and for how long.
    pub schedule: PollSchedule,
}

/// Identifies the run that an activity works for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    /// The submission.
    pub submission_id: SubmissionRef,
    /// The number that the run was started with. After a *Reset* the database assigns a new one.
    pub run: i32,
    /// The Temporal execution in which the history began. After a *Reset* it is not the current one.
    pub first_run_id: TemporalRunId,
}

/// Status of a submission. The names are those of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Not requested from LoopAI yet.
    #[default]
    Pending,
    /// LoopAI is working on it.
    Processing,
    /// The result is stored.
    Completed,
    /// No diagnosis.
    Failed,
    /// LoopAI did not finish before the deadline.
    TimedOut,
    /// Cancelled by staff or an operator.
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

/// How a run ended, as stored in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Status of the submission.
    pub status: RunStatus,
    /// Failure code, unless it completed.
    pub code: Option<String>,
    /// The e-mail that is due for it.
    pub delivery_id: Option<DeliveryRef>,
}

/// Result of `request_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RequestVerdict {
    /// LoopAI accepted the request.
    Accepted {
        /// LoopAI's id of the execution.
        execution_id: ExecutionId,
        /// The agent that makes the diagnosis.
        agent_id: i64,
    },
    /// Refused for a reason that rarely goes away without an operator (such as 401 for our key).
    Refused {
        /// Failure code.
        code: String,
    },
    /// The run has ended and that is recorded: LoopAI rejected it permanently, or it had ended before.
    Ended(RunOutcome),
    /// A newer run took over; change nothing.
    Superseded,
}

/// Input of `check_execution`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInput {
    /// The run.
    pub run: RunRef,
    /// The execution to poll.
    pub execution_id: ExecutionId,
}

/// Result of `check_execution`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CheckVerdict {
    /// The execution is still running.
    Running,
    /// No usable response this time; the next poll may get one.
    Unreachable {
        /// Failure code.
        code: String,
        /// Milliseconds to wait before the next poll.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Refused for a reason that rarely goes away without an operator (such as 404 for a known execution).
    Refused {
        /// Failure code.
        code: String,
    },
    /// The run has ended and that is recorded.
    Ended(RunOutcome),
    /// A newer run took over; change nothing.
    Superseded,
}

/// Input of `end_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndInput {
    /// The run.
    pub run: RunRef,
    /// The final status; never `pending`, `processing` or `completed`.
    pub status: RunStatus,
    /// Failure code.
    pub code: String,
}

/// Result of `end_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum EndVerdict {
    /// The run has ended. The outcome differs from the input if another end was recorded first.
    Ended(RunOutcome),
    /// A newer run took over; nothing was changed.
    Superseded,
}

/// Input of `deliver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverInput {
    /// The delivery.
    pub delivery_id: DeliveryRef,
    /// Do not send the e-mail, only record that it was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

/// Outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverVerdict {
    /// The mail server accepted the e-mail.
    Sent,
    /// The mail server may have accepted it.
    Unknown,
    /// It was not sent and will not be.
    Failed,
}

/// Response to the query `state`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Status of the submission, according to this run.
    pub status: RunStatus,
    /// LoopAI's id of the execution.
    pub execution_id: Option<ExecutionId>,
    /// Number of polls.
    pub polls: u32,
    /// Code of the last failed poll or of the failed run.
    pub code: Option<String>,
}

pub use activities::DiagnosisActivities;

mod activities {
    #![expect(missing_docs, reason = "generated by the macro")]
    use super::*;

    /// The activities' names and types. The crate `activities` implements them.
    pub struct DiagnosisActivities;

    #[activity_definitions]
    impl DiagnosisActivities {
        /// Requests a diagnosis from LoopAI and records its execution.
        #[activity]
        pub fn request_diagnosis(run: RunRef) -> Result<RequestVerdict, ActivityError> {
            unimplemented!()
        }

        /// Polls the execution and stores its result or failure.
        #[activity]
        pub fn check_execution(input: CheckInput) -> Result<CheckVerdict, ActivityError> {
            unimplemented!()
        }

        /// Records that the run ends without a result.
        #[activity]
        pub fn end_diagnosis(input: EndInput) -> Result<EndVerdict, ActivityError> {
            unimplemented!()
        }

        /// Sends an e-mail that is due.
        #[activity]
        pub fn deliver(input: DeliverInput) -> Result<DeliverVerdict, ActivityError> {
            unimplemented!()
        }
    }

    pub use diagnosis_activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

/// The activities' definitions as types, for the crate that implements them.
pub mod definitions {
    pub use super::activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

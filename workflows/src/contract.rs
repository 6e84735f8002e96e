//! The contract between the API, the workflows and their activities: names, ids and verdicts. Temporal's history stores
//! these, so they must not contain personal data (e-mail addresses, comments, images or results).

use crate::policy::PollSchedule;
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_common::search_attributes::SearchAttributeKey;
use temporalio_macros::activity_definitions;

/// Search attribute for the status of the submission ([`RunStatus::name`]).
pub const SUBMISSION_STATUS: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("SubmissionStatus");
/// Search attribute for the failure code of the run.
pub const FAILURE_CODE: SearchAttributeKey<String> = SearchAttributeKey::keyword("FailureCode");
/// Search attribute for the LoopAI agent that makes the diagnosis.
pub const AGENT_ID: SearchAttributeKey<i64> = SearchAttributeKey::int("AgentId");

/// Code of a run that LoopAI did not finish before the deadline.
pub const CODE_DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// Code of a cancelled run.
pub const CODE_CANCELLED: &str = "cancelled";
/// Code of a run that a newer one replaced.
pub const CODE_SUPERSEDED: &str = "superseded";
/// Code of a standalone delivery whose e-mail was not accepted.
pub const CODE_MAIL_FAILED: &str = "mail_failed";
/// Code of a standalone delivery whose outcome is unknown.
pub const CODE_MAIL_UNKNOWN: &str = "mail_unknown";

/// Each id has its own type, so that one cannot be passed for another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Creates the id from its text form.
            pub fn new(id: impl ToString) -> Self {
                Self(id.to_string())
            }

            /// Returns the text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// Id of a submission.
    SubmissionRef
}
text_id! {
    /// Id of an e-mail delivery.
    DeliveryRef
}
text_id! {
    /// LoopAI's id of an execution.
    ExecutionId
}
text_id! {
    /// Temporal's id of a workflow execution.
    TemporalRunId
}

impl SubmissionRef {
    /// Workflow id that all runs of the submission share. Only one of them is open at a time.
    pub fn workflow_id(&self) -> String {
        format!("submission-{}", self.0)
    }
}

impl DeliveryRef {
    /// Workflow id of a standalone delivery.
    pub fn workflow_id(&self) -> String {
        format!("delivery-{}", self.0)
    }
}

/// Input of a standalone delivery.
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

/// Status of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// LoopAI has not accepted a request yet.
    #[default]
    Pending,
    /// LoopAI is working on it.
    Processing,
    /// The result is stored.
    Completed,
    /// The diagnosis failed.
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
    /// Failure code, unless the submission is completed.
    pub code: Option<String>,
    /// Delivery of the e-mail about this outcome.
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
    /// LoopAI refused the request for a reason that an operator usually has to fix (such as 401 for our key).
    Refused {
        /// Failure code.
        code: String,
    },
    /// The end of the run is recorded: LoopAI rejected the request permanently, or the run had ended before.
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
    /// LoopAI refused the poll for a reason that an operator usually has to fix (such as 404 for a known execution).
    Refused {
        /// Failure code.
        code: String,
    },
    /// The end of the run is recorded.
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
    /// Record the delivery as failed instead of sending the e-mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

/// Outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverVerdict {
    /// The mail server accepted the e-mail.
    Sent,
    /// The mail server may have accepted the e-mail.
    Unknown,
    /// The e-mail was not sent and will not be sent.
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
    /// Failure code of the last request, the last poll or the run.
    pub code: Option<String>,
}

pub use activities::DiagnosisActivities;

mod activities {
    #![expect(missing_docs, reason = "generated by the macro")]
    use super::*;

    /// Implemented by the crate `activities`.
    pub struct DiagnosisActivities;

    #[activity_definitions]
    impl DiagnosisActivities {
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

        #[activity]
        pub fn deliver(input: DeliverInput) -> Result<DeliverVerdict, ActivityError> {
            unimplemented!()
        }
    }

    pub use diagnosis_activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

/// Types of the activity definitions, for the crate that implements them.
pub mod definitions {
    pub use super::activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

//! The contract between the API, the workflows and their activities: names, ids and results. Temporal's history stores
//! these values, so they must not contain personal data: e-mail addresses, comments, images or diagnoses.

use crate::policy::PollSchedule;
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_common::data_converters::{
    PayloadConversionError, SerializationContext, TemporalDeserializable, TemporalSerializable,
};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::search_attributes::SearchAttributeKey;
use temporalio_macros::activity_definitions;

/// Search attribute for the submission's status ([`RunStatus::name`]).
pub const SUBMISSION_STATUS: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("SubmissionStatus");
/// Search attribute for the run's failure code.
pub const FAILURE_CODE: SearchAttributeKey<String> = SearchAttributeKey::keyword("FailureCode");
/// Search attribute for the LoopAI agent that makes the diagnosis.
pub const AGENT_ID: SearchAttributeKey<i64> = SearchAttributeKey::int("AgentId");

/// Failure code for a run that LoopAI did not finish before the deadline.
pub const CODE_DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// Failure code for a cancelled run.
pub const CODE_CANCELLED: &str = "cancelled";
/// Failure code for a run that cannot decode the result of its request because an operator or a newer worker completed
/// the activity.
pub const CODE_RESULT_UNREADABLE: &str = "result_unreadable";
/// Failure code for a run that was replaced by a newer one.
pub const CODE_SUPERSEDED: &str = "superseded";
/// Failure code for a standalone delivery whose e-mail was not accepted.
pub const CODE_MAIL_FAILED: &str = "mail_failed";
/// Failure code for a standalone delivery whose outcome is unknown.
pub const CODE_MAIL_UNKNOWN: &str = "mail_unknown";

/// Gives each kind of id its own type, so one kind cannot be passed in place of another.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Creates an id from its text form.
            pub fn new(id: impl ToString) -> Self {
                Self(id.to_string())
            }

            /// Returns the id as text.
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
    /// Id that LoopAI assigned to an execution.
    ExecutionId
}
text_id! {
    /// Run id that Temporal assigned to a workflow execution.
    TemporalRunId
}

impl SubmissionRef {
    /// Workflow id shared by all runs of the submission. Temporal allows only one open execution with this id at a
    /// time.
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

/// Input for signals and queries that take no input. Any payload is accepted and ignored: operators can attach one in
/// the Temporal UI, and a workflow task that cannot decode a signal's input fails on every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnyInput;

impl TemporalDeserializable for AnyInput {
    fn from_payload(
        _: &SerializationContext<'_>,
        _: Payload,
    ) -> Result<Self, PayloadConversionError> {
        Ok(AnyInput)
    }

    fn from_payloads(
        _: &SerializationContext<'_>,
        _: Vec<Payload>,
    ) -> Result<Self, PayloadConversionError> {
        Ok(AnyInput)
    }
}

impl TemporalSerializable for AnyInput {
    fn to_payloads(
        &self,
        _: &SerializationContext<'_>,
    ) -> Result<Vec<Payload>, PayloadConversionError> {
        Ok(Vec::new())
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
    /// Number of the run within the submission, starting at 1.
    pub run: i32,
    /// When to poll LoopAI, and for how long.
    pub schedule: PollSchedule,
}

/// Identifies the run to which an activity belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    /// The submission.
    pub submission_id: SubmissionRef,
    /// Number of the run when it was started. After a *Reset*, the database assigns a new number.
    pub run: i32,
    /// Temporal run id of the first workflow execution in the chain. After a *Reset*, the current execution has a
    /// different run id.
    pub first_run_id: TemporalRunId,
}

/// Status of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// LoopAI has not accepted a request yet.
    #[default]
    Pending,
    /// LoopAI is processing the submission.
    Processing,
    /// The result has been stored.
    Completed,
    /// The diagnosis failed.
    Failed,
    /// LoopAI did not finish before the deadline.
    TimedOut,
    /// The patient, staff or an operator cancelled the submission.
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
    /// Failure code. `None` if the submission is completed.
    pub code: Option<String>,
    /// Delivery of the e-mail that reports this outcome.
    pub delivery_id: Option<DeliveryRef>,
}

/// Result of `request_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RequestDiagnosisResult {
    /// LoopAI accepted the request.
    Accepted {
        /// Id that LoopAI assigned to the execution.
        execution_id: ExecutionId,
        /// The agent that makes the diagnosis.
        agent_id: i64,
    },
    /// LoopAI refused the request or sent an unreadable response. The cause usually has to be fixed by an operator, for
    /// example after a 401 for our API key.
    Refused {
        /// Failure code.
        code: String,
    },
    /// The end of the run has been recorded: LoopAI rejected the request permanently, or the run had already ended.
    Ended(RunOutcome),
    /// A newer run has taken over, so this run must not change anything.
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
pub enum CheckExecutionResult {
    /// The execution is still running.
    Running {
        /// Status reported by LoopAI, or `OTHER` if it is not a single word. Older histories do not contain it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
    },
    /// LoopAI returned no usable response. The next poll may succeed.
    Unreachable {
        /// Failure code.
        code: String,
        /// Milliseconds to wait before the next poll.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// LoopAI refused the poll or sent an unreadable response. The cause usually has to be fixed by an operator, for
    /// example after a 404 for a known execution.
    Refused {
        /// Failure code.
        code: String,
    },
    /// The end of the run has been recorded.
    Ended(RunOutcome),
    /// A newer run has taken over, so this run must not change anything.
    Superseded,
}

/// Input of `end_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndInput {
    /// The run.
    pub run: RunRef,
    /// Final status. Never `pending`, `processing` or `completed`.
    pub status: RunStatus,
    /// Failure code.
    pub code: String,
}

/// Result of `end_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum EndDiagnosisResult {
    /// The run has ended. The outcome differs from the input if another outcome had already been recorded.
    Ended(RunOutcome),
    /// A newer run has taken over, so nothing was changed.
    Superseded,
}

/// Input of `deliver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverInput {
    /// The delivery.
    pub delivery_id: DeliveryRef,
    /// Whether to record the delivery as failed instead of sending the e-mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

/// Outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverResult {
    /// The mail server accepted the e-mail.
    Sent,
    /// The mail server may have accepted the e-mail.
    Unknown,
    /// The e-mail was not sent, and delivery will not be attempted again.
    Failed,
}

/// Response to the `state` query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Status of the submission, according to this run.
    pub status: RunStatus,
    /// Id that LoopAI assigned to the execution.
    pub execution_id: Option<ExecutionId>,
    /// Number of polls.
    pub polls: u32,
    /// Failure code of the last request or poll, or of the run itself once it has ended.
    pub code: Option<String>,
}

pub use activities::DiagnosisActivities;

mod activities {
    #![expect(missing_docs, reason = "generated by the macro")]
    use super::*;

    /// Activity declarations, implemented by the `activities` crate.
    pub struct DiagnosisActivities;

    #[activity_definitions]
    impl DiagnosisActivities {
        #[activity]
        pub fn request_diagnosis(run: RunRef) -> Result<RequestDiagnosisResult, ActivityError> {
            unimplemented!()
        }

        /// Polls the execution and stores its result or failure.
        #[activity]
        pub fn check_execution(input: CheckInput) -> Result<CheckExecutionResult, ActivityError> {
            unimplemented!()
        }

        /// Records that the run ended without a result.
        #[activity]
        pub fn end_diagnosis(input: EndInput) -> Result<EndDiagnosisResult, ActivityError> {
            unimplemented!()
        }

        #[activity]
        pub fn deliver(input: DeliverInput) -> Result<DeliverResult, ActivityError> {
            unimplemented!()
        }
    }

    pub use diagnosis_activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

/// Activity definitions for the crate that implements the activities.
pub mod definitions {
    pub use super::activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

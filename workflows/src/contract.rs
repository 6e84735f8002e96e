//! What passes between the API, the workflow and its activities: names, ids and verdicts.
//!
//! Everything here is written into Temporal's history, so it holds ids and codes and never data:
//! no e-mail address, comment, image or result.

use crate::policy::PollSchedule;
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_common::search_attributes::SearchAttributeKey;
use temporalio_macros::activity_definitions;

/// Queue that workers listen on unless the settings name another.
pub const TASK_QUEUE: &str = "diagnosis";

/// Search attribute: where the submission stands ([`RunStatus::name`]).
pub const SUBMISSION_STATUS: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("SubmissionStatus");
/// Search attribute: why the run failed, as a stable code.
pub const FAILURE_CODE: SearchAttributeKey<String> = SearchAttributeKey::keyword("FailureCode");
/// Search attribute: the LoopAI agent that was asked.
pub const AGENT_ID: SearchAttributeKey<i64> = SearchAttributeKey::int("AgentId");

/// Code of a run that nobody answered before its deadline.
pub const CODE_DEADLINE_EXCEEDED: &str = "deadline_exceeded";
/// Code of a run that was called off.
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

/// What a delivery outside a run starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryInput {
    /// The delivery.
    pub delivery_id: DeliveryRef,
}

/// What a run starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisInput {
    /// The submission.
    pub submission_id: SubmissionRef,
    /// The run's number within it, from 1.
    pub run: i32,
    /// When to ask LoopAI, and for how long.
    pub schedule: PollSchedule,
}

/// How an activity knows for whom it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    /// The submission.
    pub submission_id: SubmissionRef,
    /// The number that the run was started with. After a *Reset* the records give it a new one.
    pub run: i32,
    /// The Temporal execution that the history began with; another than the present one after a *Reset*.
    pub first_run_id: TemporalRunId,
}

/// Where a submission stands, as far as a run is concerned. Same names as in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// LoopAI was not asked yet.
    #[default]
    Pending,
    /// LoopAI is at work.
    Processing,
    /// The result is stored.
    Completed,
    /// No diagnosis.
    Failed,
    /// No answer before the deadline.
    TimedOut,
    /// Called off.
    Cancelled,
}

impl RunStatus {
    /// The name in records, search attributes and pages.
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

/// How a run ended, as the records have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// Where the submission stands now.
    pub status: RunStatus,
    /// Why, where it did not complete.
    pub code: Option<String>,
    /// The e-mail that is owed for it.
    pub delivery_id: Option<DeliveryRef>,
}

/// What came of asking LoopAI for a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum RequestVerdict {
    /// LoopAI is at work.
    Accepted {
        /// LoopAI's name for it.
        execution_id: ExecutionId,
        /// The agent that was asked.
        agent_id: i64,
    },
    /// Refused in a way that hardly heals (such as 401 for our key).
    Refused {
        /// Why, as a stable code.
        code: String,
    },
    /// It has ended, and that is recorded: not taken for good just now, or ended before.
    Ended(RunOutcome),
    /// A newer run took over; touch nothing.
    Superseded,
}

/// Input of `check_execution`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInput {
    /// For whom.
    pub run: RunRef,
    /// What to ask for.
    pub execution_id: ExecutionId,
}

/// What a look at the execution showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Still at work.
    Running,
    /// No usable answer this time; it may come with the next look.
    Unreachable {
        /// Why, as a stable code.
        code: String,
        /// How long LoopAI wishes us to wait, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Refused in a way that hardly heals (such as 404 for an id that was valid).
    Refused {
        /// Why, as a stable code.
        code: String,
    },
    /// It has ended, and that is recorded.
    Ended(RunOutcome),
    /// A newer run took over; touch nothing.
    Superseded,
}

/// Input of `end_diagnosis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndInput {
    /// For whom.
    pub run: RunRef,
    /// How it ends; never `pending`, `processing` or `completed`.
    pub status: RunStatus,
    /// Why, as a stable code.
    pub code: String,
}

/// What came of recording an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum EndVerdict {
    /// It has ended; perhaps otherwise than asked for, if something else was first.
    Ended(RunOutcome),
    /// A newer run took over; nothing was touched.
    Superseded,
}

/// Input of `deliver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverInput {
    /// The delivery.
    pub delivery_id: DeliveryRef,
    /// Its time is over: only write down that it was not sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverVerdict {
    /// The mail server took it.
    Sent,
    /// It may have been taken.
    Unknown,
    /// The mail server refused it for good.
    Failed,
}

/// Answer to the query `state`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Where the submission stands, as far as this run knows.
    pub status: RunStatus,
    /// LoopAI's name for the execution.
    pub execution_id: Option<ExecutionId>,
    /// How often LoopAI was looked at.
    pub polls: u32,
    /// Why the last look gave nothing, or why the run ended.
    pub code: Option<String>,
}

pub use activities::DiagnosisActivities;

/// The activities' definitions. The types that the macro makes are for those who implement them.
mod activities {
    #![expect(missing_docs, reason = "the macro's own items carry no docs")]
    use super::*;

    /// The activities' names and types. Their bodies are in the crate `activities`.
    pub struct DiagnosisActivities;

    #[activity_definitions]
    impl DiagnosisActivities {
        /// Asks LoopAI for a diagnosis and records its execution.
        #[activity]
        pub fn request_diagnosis(run: RunRef) -> Result<RequestVerdict, ActivityError> {
            unimplemented!()
        }

        /// Looks at the execution; stores a result or failure that it finds.
        #[activity]
        pub fn check_execution(input: CheckInput) -> Result<CheckVerdict, ActivityError> {
            unimplemented!()
        }

        /// Records that the run ends without a result.
        #[activity]
        pub fn end_diagnosis(input: EndInput) -> Result<EndVerdict, ActivityError> {
            unimplemented!()
        }

        /// Sends an e-mail that is owed.
        #[activity]
        pub fn deliver(input: DeliverInput) -> Result<DeliverVerdict, ActivityError> {
            unimplemented!()
        }
    }

    pub use diagnosis_activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

/// The activities' definitions as types, for those who implement them.
pub mod definitions {
    pub use super::activities::{CheckExecution, Deliver, EndDiagnosis, RequestDiagnosis};
}

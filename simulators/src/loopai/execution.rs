//! An execution and its state transitions.

use chrono::Utc;
use serde_json::Value;
use uuid::Uuid;

use super::{
    records::{ExecutionRecord, ExecutionState},
    scenario::Outcome,
    submission::{SentImage, Submission},
};

pub(super) struct Execution {
    pub(super) record: ExecutionRecord,
    pub(super) key: Option<String>,
    /// Key of the directive whose scenario applies. If `None`, the default scenario applies.
    pub(super) directive_key: Option<String>,
    pub(super) outcome: Outcome,
    /// The image measurements. Images are measured whatever the outcome, even a failure.
    pub(super) measured: Option<Value>,
    /// Whether the execution was completed manually but is still waiting for the measurements.
    pub(super) complete_when_measured: bool,
}

impl Execution {
    pub(super) fn is_running(&self) -> bool {
        self.record.state == ExecutionState::Running
    }

    pub(super) fn complete(&mut self, with_result: bool) {
        self.record.state = ExecutionState::Completed;
        self.record.finished_at = Some(Utc::now());
        self.record.result = self.measured.clone().filter(|_| with_result);
    }

    pub(super) fn fail(&mut self, error: String) {
        self.record.state = ExecutionState::Failed;
        self.record.finished_at = Some(Utc::now());
        self.record.error = Some(error);
    }
}

pub(super) fn new_record(
    agent_id: String,
    idempotency_key: Option<String>,
    scenario: String,
    submission: &Submission,
) -> ExecutionRecord {
    ExecutionRecord {
        execution_id: Uuid::new_v4().to_string(),
        agent_id,
        submission_id: submission.submission_id.clone(),
        client_reference: submission.client_reference.clone(),
        comments: submission.comments.clone(),
        idempotency_key,
        scenario,
        state: ExecutionState::Running,
        created_at: Utc::now(),
        finished_at: None,
        creations: 1,
        repeats: 0,
        polls: 0,
        last_polled_at: None,
        images: submission.images.iter().map(SentImage::record).collect(),
        measured: false,
        contains_email: !submission.email_paths.is_empty(),
        email_paths: submission.email_paths.clone(),
        result: None,
        error: None,
    }
}

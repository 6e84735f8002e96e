//! Fetches and inspects workflow histories.

use crate::client::AcceptedSubmission;
use crate::eventually::eventually;
use crate::stack::Stack;
use diagflow_simulators::loopai::contains_email_address;
use diagflow_workflows::{DiagnosisWorkflow, SubmissionRef};
use futures::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest;
use temporalio_client::{
    WorkflowDescribeOptions, WorkflowFetchHistoryOptions, WorkflowHandle, WorkflowHistory,
    WorkflowListOptions,
};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;
use uuid::Uuid;

pub async fn workflow_handle(
    stack: &Stack,
    submission: &AcceptedSubmission,
) -> WorkflowHandle<temporalio_client::Client, DiagnosisWorkflow> {
    let client = stack.temporal().await;
    client.get_workflow_handle::<DiagnosisWorkflow>(
        SubmissionRef::new(&submission.submission_id).workflow_id(),
    )
}

/// Waits until the workflow is closed and returns its status.
pub async fn wait_until_closed(stack: &Stack, submission: &AcceptedSubmission) -> String {
    let handle = workflow_handle(stack, submission).await;
    eventually("the run to be closed", || async {
        let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
        description.close_time().map(|_| format!("{:?}", description.status()))
    })
    .await
}

/// Returns the ids of all of the stack's open workflows.
pub async fn open_workflows(stack: &Stack) -> Vec<String> {
    let queue = stack.setting("TEMPORAL_TASK_QUEUE");
    let query = format!("TaskQueue = '{queue}' AND ExecutionStatus = 'Running'");
    let temporal = stack.temporal().await;
    let found = temporal.list_workflows(query, WorkflowListOptions::default());
    found.map(|found| found.expect("a response").id().to_owned()).collect().await
}

/// Resets the latest run to its beginning, as operators can do in the Temporal UI.
pub async fn reset(stack: &Stack, submission: &AcceptedSubmission) {
    let events = events(stack, submission).await;
    let mut tasks = events.iter().filter(|it| it.event_type() == EventType::WorkflowTaskCompleted);
    let request = ResetWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: SubmissionRef::new(&submission.submission_id).workflow_id(),
            run_id: String::new(),
        }),
        reason: "a test".to_owned(),
        workflow_task_finish_event_id: tasks.next().expect("a workflow task").event_id,
        request_id: Uuid::new_v4().to_string(),
        ..ResetWorkflowExecutionRequest::default()
    };
    let mut client = stack.temporal().await;
    let reset = WorkflowService::reset_workflow_execution(&mut client, request.into_request());
    reset.await.expect("a reset workflow");
}

pub async fn fetch(stack: &Stack, submission: &AcceptedSubmission) -> WorkflowHistory {
    workflow_handle(stack, submission).await.fetch_history(WorkflowFetchHistoryOptions::default())
}

pub async fn events(stack: &Stack, submission: &AcceptedSubmission) -> Vec<HistoryEvent> {
    fetch(stack, submission).await.into_events().await.expect("a history")
}

/// Returns the history as JSON without process identities.
pub async fn json(stack: &Stack, submission: &AcceptedSubmission) -> Value {
    let bytes = fetch(stack, submission).await.to_json().await.expect("a history");
    let mut document = serde_json::from_slice(&bytes).expect("JSON");
    redact_identities(&mut document);
    document
}

pub fn count_by_type(events: &[HistoryEvent]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let kind = EventType::try_from(event.event_type).expect("a known type");
        *counts.entry(kind.as_str_name()).or_default() += 1;
    }
    counts
}

/// Returns the attempt number in an `ActivityTaskStarted` event. Temporal records only an activity's last attempt.
pub fn activity_attempt(event: &HistoryEvent) -> Option<i32> {
    match event.attributes.as_ref()? {
        Attributes::ActivityTaskStartedEventAttributes(started) => Some(started.attempt),
        _ => None,
    }
}

pub fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories")
}

/// The folder with histories recorded by changed workflow code that uses a patch.
pub fn patched_recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("patched_histories")
}

/// Removes the names of the machine and its processes from a history.
pub fn redact_identities(document: &mut Value) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(redact_identities),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "identity" {
                    *value = Value::from("recorded");
                } else {
                    redact_identities(value);
                }
            }
        }
        _ => {}
    }
}

/// The activity and timer summaries in current and recorded histories. A summary may be followed by a number.
const SUMMARIES: [&str; 16] = [
    "Diagnosis, run",
    "E-mail outside a run",
    "ask LoopAI for a diagnosis",
    "before asking again",
    "before look",
    "before poll",
    "before the next request",
    "e-mail the patient",
    "final poll of the execution",
    "last look at the execution",
    "look at the execution",
    "poll the execution",
    "record that the e-mail was given up",
    "record the end",
    "request a diagnosis",
    "write down that the e-mail is given up",
];
/// Maximum length of a word that cannot be personal data. All ids, codes and type names are shorter.
const MAX_WORD: usize = 64;

/// Returns any text in a history that may be personal data: e-mail addresses, and text that is neither a single word
/// nor a known summary. Base64 and any JSON inside it are decoded.
pub fn possible_personal_data(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => match payload(text) {
            Some(Ok(inner)) => possible_personal_data(&inner),
            Some(Err(plain)) => personal_text(&plain),
            None => personal_text(text),
        },
        Value::Array(items) => items.iter().flat_map(possible_personal_data).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| [personal_text(name), possible_personal_data(value)].concat())
            .collect(),
        _ => Vec::new(),
    }
}

/// Decodes base64 as JSON, or as plain text if the content is not JSON. Returns `None` if `text` is not base64.
fn payload(text: &str) -> Option<Result<Value, String>> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let plain = String::from_utf8(bytes).ok()?;
    Some(serde_json::from_str(&plain).map_err(|_| plain))
}

fn personal_text(text: &str) -> Vec<String> {
    let counted = text.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
    let is_word = !text.contains(char::is_whitespace) && text.len() <= MAX_WORD;
    let is_ours = is_word || SUMMARIES.contains(&counted);
    if is_ours && !contains_email_address(text) { Vec::new() } else { vec![text.to_owned()] }
}

/// Returns all text in a JSON document, including decoded base64.
pub fn decode_payloads(value: &Value) -> String {
    use base64::Engine;
    match value {
        Value::String(text) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            format!("{text}\n{}\n", String::from_utf8_lossy(&bytes))
        }
        Value::Array(items) => items.iter().map(decode_payloads).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}\n{}", decode_payloads(value)))
            .collect(),
        other => other.to_string(),
    }
}

//! Assertions about finished submissions, based on HTTP, MySQL, LoopAI's log, the mail server and Temporal.

use crate::client::AcceptedSubmission;
use crate::history;
use crate::stack::{Stack, id_of};
use diagflow_simulators::loopai::ExecutionRecord;
use diagflow_simulators::mail::Mail;
use diagflow_store::Delivery;
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

/// The expected end of a run that produced no result.
#[derive(Debug, Clone, Copy)]
pub struct UnsuccessfulEnd<'a> {
    pub status: &'static str,
    /// Error code in MySQL, Temporal and the API response.
    pub code: &'a str,
    /// Status of the workflow in Temporal.
    pub run: &'static str,
    /// Subject of the e-mail.
    pub subject: &'static str,
}

pub fn failed(code: &str) -> UnsuccessfulEnd<'_> {
    let subject = "We could not complete your diagnosis";
    UnsuccessfulEnd { status: "failed", code, run: "Failed", subject }
}

pub fn timed_out() -> UnsuccessfulEnd<'static> {
    let subject = "Your diagnosis took too long";
    UnsuccessfulEnd { status: "timed_out", code: "deadline_exceeded", run: "Failed", subject }
}

pub fn cancelled() -> UnsuccessfulEnd<'static> {
    let subject = "Your submission was cancelled";
    UnsuccessfulEnd { status: "cancelled", code: "cancelled", run: "Canceled", subject }
}

/// Waits until the submission is completed and its workflow is closed. Checks that LoopAI ran exactly one execution and
/// that the mail server accepted exactly one e-mail. Returns the status document.
pub async fn wait_completed_once(stack: &Stack, submission: &AcceptedSubmission) -> Value {
    let document = stack.wait_for_status(submission, "completed").await;
    assert!(document["result"].is_object(), "{document}");
    assert_eq!(history::wait_until_closed(stack, submission).await, "Completed");
    assert_eq!(executions(stack, submission).len(), 1, "LoopAI executes each run once");
    assert_notified_once(stack, submission, "Your diagnosis result").await;
    assert_event_stream(stack, submission, "completed").await;
    document
}

/// Waits until the submission has ended without a result and its workflow is closed. Checks that MySQL, Temporal and
/// the event stream agree, and that the mail server accepted exactly one e-mail. Returns the e-mail.
pub async fn wait_ended_once(
    stack: &Stack,
    submission: &AcceptedSubmission,
    end: UnsuccessfulEnd<'_>,
) -> Arc<Mail> {
    let document = stack.wait_for_status(submission, end.status).await;
    assert_eq!(document["error"]["code"], end.code, "{document}");
    assert!(document["result"].is_null(), "{document}");
    assert_eq!(history::wait_until_closed(stack, submission).await, end.run);
    if end.run == "Failed" {
        assert_eq!(failure_type(stack, submission).await.as_deref(), Some(end.code));
    }
    assert_event_stream(stack, submission, end.status).await;
    assert_notified_once(stack, submission, end.subject).await
}

pub fn executions(stack: &Stack, submission: &AcceptedSubmission) -> Vec<ExecutionRecord> {
    let ours = Some(submission.submission_id.as_str());
    let all = stack.loopai.executions().into_iter();
    all.filter(|execution| execution.submission_id.as_deref() == ours).collect()
}

pub fn mails(stack: &Stack, submission: &AcceptedSubmission) -> Vec<Arc<Mail>> {
    let reference = format!("Reference: {}", submission.submission_id);
    let all = stack.mail.mails().into_iter();
    all.filter(|mail| mail.text.as_ref().is_some_and(|text| text.contains(&reference))).collect()
}

pub async fn delivery(stack: &Stack, submission: &AcceptedSubmission) -> Delivery {
    let deliveries = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    let [delivery] = deliveries.as_slice() else { panic!("expected one delivery: {deliveries:?}") };
    delivery.clone()
}

/// Checks that the submission has exactly one delivery and that the mail server accepted its e-mail once. The e-mail
/// must have text and HTML parts and the delivery's Message-ID.
async fn assert_notified_once(
    stack: &Stack,
    submission: &AcceptedSubmission,
    subject: &str,
) -> Arc<Mail> {
    let delivery = delivery(stack, submission).await;
    assert_eq!(delivery.status.to_string(), "sent", "{delivery:?}");
    let mails = mails(stack, submission);
    let [mail] = mails.as_slice() else { panic!("expected one e-mail: {mails:?}") };
    assert_eq!(mail.subject, subject);
    assert!(mail.html.as_ref().is_some_and(|html| html.contains(&submission.submission_id)));
    assert_eq!(mail.message_id, Some(format!("{}@diagflow.example", delivery.id)));
    mail.clone()
}

/// Returns the steps of a submission's events after checking that the events are numbered without gaps.
pub async fn steps(stack: &Stack, submission: &AcceptedSubmission) -> Vec<&'static str> {
    let events = stack.store.events(id_of(submission), 0).await.expect("events");
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..).take(events.len()).collect::<Vec<_>>());
    events.iter().map(|event| event.step.name()).collect()
}

async fn assert_event_stream(stack: &Stack, submission: &AcceptedSubmission, status: &str) {
    let events: Vec<_> = stack.client.events(submission, None).await.collect().await;
    let numbers: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let last = events.last().expect("events");
    assert_eq!(last.data["status"], status, "{events:?}");
}

/// Returns the type of the failure that closed the workflow. Operators search Temporal for this type.
async fn failure_type(stack: &Stack, submission: &AcceptedSubmission) -> Option<String> {
    let last = history::events(stack, submission).await.pop()?;
    let Some(Attributes::WorkflowExecutionFailedEventAttributes(ended)) = last.attributes else {
        return None;
    };
    match ended.failure?.failure_info? {
        FailureInfo::ApplicationFailureInfo(info) => Some(info.r#type),
        _ => None,
    }
}

//! Temporal's histories: fetched, counted, searched.

use crate::client::Accepted;
use crate::eventually::eventually;
use crate::stack::Stack;
use diagflow_workflows::{DiagnosisWorkflow, workflow_id};
use std::collections::BTreeMap;
use temporalio_client::{
    WorkflowDescribeOptions, WorkflowFetchHistoryOptions, WorkflowHandle, WorkflowHistory,
};
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;

/// The newest run of a submission.
pub async fn handle(
    stack: &Stack,
    submission: &Accepted,
) -> WorkflowHandle<temporalio_client::Client, DiagnosisWorkflow> {
    let client = stack.temporal().await;
    client.get_workflow_handle::<DiagnosisWorkflow>(workflow_id(&submission.submission_id))
}

/// Waits until the newest run of a submission is closed; returns its status in Temporal.
pub async fn closed(stack: &Stack, submission: &Accepted) -> String {
    let handle = handle(stack, submission).await;
    eventually("the run to be closed", || async {
        let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
        description.close_time().map(|_| format!("{:?}", description.status()))
    })
    .await
}

/// The history of a submission's newest run.
pub async fn fetch(stack: &Stack, submission: &Accepted) -> WorkflowHistory {
    handle(stack, submission).await.fetch_history(WorkflowFetchHistoryOptions::default())
}

/// Its events.
pub async fn events(stack: &Stack, submission: &Accepted) -> Vec<HistoryEvent> {
    fetch(stack, submission).await.into_events().await.expect("a history")
}

/// How many events there are of each type.
pub fn count(events: &[HistoryEvent]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let kind = EventType::try_from(event.event_type).expect("a known type");
        *counts.entry(kind.as_str_name()).or_default() += 1;
    }
    counts
}

//! The workers that poll the task queue, according to Temporal.

use std::time::{Duration, SystemTime};
use temporalio_client::tonic::{IntoRequest, Status};
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeTaskQueueRequest;

/// Temporal keeps listing a worker for minutes after its last poll. A poll takes at most 60 s.
const POLLER_LIFETIME: Duration = Duration::from_secs(90);

/// A worker that has polled the task queue recently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    pub identity: String,
    pub last_poll_at: SystemTime,
}

/// Returns the workers that currently poll a task queue for workflow tasks, sorted by their identity.
pub async fn seen_workers(client: &Client, task_queue: &str) -> Result<Vec<SeenWorker>, Status> {
    let request = DescribeTaskQueueRequest {
        namespace: client.namespace(),
        task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..Default::default() }),
        task_queue_type: TaskQueueType::Workflow.into(),
        ..Default::default()
    };
    let mut service = client.connection().workflow_service();
    let described = service.describe_task_queue(request.into_request()).await?.into_inner();
    let mut workers: Vec<_> = described.pollers.into_iter().filter_map(seen_worker).collect();
    workers.sort_by(|one, other| one.identity.cmp(&other.identity));
    Ok(workers)
}

fn seen_worker(poller: PollerInfo) -> Option<SeenWorker> {
    let last_poll_at = SystemTime::try_from(poller.last_access_time?).ok()?;
    // If Temporal's clock is slightly ahead of this machine's, `elapsed` fails.
    let is_polling = last_poll_at.elapsed().unwrap_or_default() < POLLER_LIFETIME;
    is_polling.then_some(SeenWorker { identity: poller.identity, last_poll_at })
}

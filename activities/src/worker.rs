//! The worker, which polls Temporal and runs the workflows and their activities.

use crate::activities::Activities;
use crate::telemetry;
use diagflow_store::settings::{parse, seconds, within};
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use serde::Deserialize;
use std::time::Duration;
use temporalio_client::Client;
use temporalio_sdk::runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;

/// The SDK's default. A workflow task does no I/O, but it occupies a slot while one of its local activities runs.
const MAX_WORKFLOW_TASKS: usize = 100;
/// Time allowed after `WORKER_SHUTDOWN_TIMEOUT_SECONDS` for recording e-mails whose outcome is unknown.
const FINAL_WRITE_PERIOD: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Deserialize)]
pub struct WorkerSettings {
    #[serde(rename = "TEMPORAL_TASK_QUEUE")]
    pub task_queue: String,
    /// Time allowed for activities to finish after a stop signal. The default is the maximum duration of an activity
    /// that sends no e-mail. E-mails not confirmed by the mail server by then are recorded as `unknown`.
    #[serde(rename = "WORKER_SHUTDOWN_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub shutdown_period: Duration,
    #[serde(rename = "WORKER_CONCURRENCY", deserialize_with = "within::<_, _, 2, 1000>")]
    pub concurrency: usize,
    /// Memory for images in concurrent requests, in bytes.
    #[serde(rename = "WORKER_IMAGE_MEMORY_BYTES", deserialize_with = "parse")]
    pub image_memory: u64,
}

/// Runs the worker until `stop` is cancelled, then lets activities finish. The returned future is not `Send`, so it
/// cannot be spawned.
pub async fn run_worker(
    client: Client,
    activities: Activities,
    settings: &WorkerSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    telemetry::describe(activities.requester.limits);
    let (mail_shutdown, shutdown_period) = (activities.mailer.shutdown(), settings.shutdown_period);
    let runtime = Runtime::from_current_tokio(Default::default())?;
    let activity_slots = FixedSizeSlotSupplier::new(settings.concurrency);
    let workflow_slots = FixedSizeSlotSupplier::new(MAX_WORKFLOW_TASKS);
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(workflow_slots)
        .activity_task_slot_supplier(activity_slots)
        .local_activity_task_slot_supplier(activity_slots)
        .nexus_task_slot_supplier(workflow_slots)
        .build();
    let options = WorkerOptions::new(settings.task_queue.clone())
        .register_workflow::<DiagnosisWorkflow>()?
        .register_workflow::<DeliveryWorkflow>()?
        .register_activities(activities)
        .tuner(tuner)
        .graceful_shutdown_period(settings.shutdown_period)
        .build();
    let mut worker = Worker::new(&runtime, client, options)?;
    let begin_shutdown = worker.shutdown_handle();
    // The SDK waits indefinitely for running activities and does not cancel local activities.
    let shutdown_period_over = async move {
        stop.cancelled().await;
        begin_shutdown();
        tokio::time::sleep(shutdown_period).await;
        mail_shutdown.cancel();
        tokio::time::sleep(FINAL_WRITE_PERIOD).await;
    };
    tokio::select! {
        outcome = worker.run() => outcome.map_err(Into::into),
        () = shutdown_period_over => {
            tracing::warn!("stopping while activities are running; another worker will retry them");
            Ok(())
        }
    }
}

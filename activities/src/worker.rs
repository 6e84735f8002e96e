//! The worker: polls Temporal, runs the workflow and its activities.

use crate::diagnosis::Activities;
use diagflow_workflows::DiagnosisWorkflow;
use std::time::Duration;
use temporalio_client::Client;
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;

/// How the worker behaves.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// `TEMPORAL_TASK_QUEUE`: default `diagnosis`.
    pub task_queue: String,
    /// `WORKER_SHUTDOWN_SECONDS`: how long activities may go on after a stop was asked for; default 45 s,
    /// as long as the longest of them.
    pub shutdown_period: Duration,
}

/// Works until `stop` is cancelled, then lets activities end. Not `Send`: await it where it is called.
///
/// # Errors
/// When the worker cannot start, or loses Temporal in a way that does not heal.
pub async fn run_worker(
    client: Client,
    activities: Activities,
    settings: &WorkerSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let runtime = Runtime::from_current_tokio(Default::default())?;
    let options = WorkerOptions::new(settings.task_queue.clone())
        .register_workflow::<DiagnosisWorkflow>()?
        .register_activities(activities)
        .graceful_shutdown_period(settings.shutdown_period)
        .build();
    let mut worker = Worker::new(&runtime, client, options)?;
    let begin_shutdown = worker.shutdown_handle();
    let watcher = tokio::spawn(async move {
        stop.cancelled().await;
        begin_shutdown();
    });
    let outcome = worker.run().await;
    watcher.abort();
    outcome.map_err(Into::into)
}

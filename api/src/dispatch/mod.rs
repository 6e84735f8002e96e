//! Background tasks, each in its own file. They start queued runs, reconcile Temporal with the database, remove
//! orphaned files and expired rows, and log checkpoints of the audit log.
//!
//! All pending work is stored in the database and every step is idempotent, so no work is lost when a task fails or
//! stops.

mod audit_checkpoint;
mod expired_rows;
pub(crate) mod failing_task;
mod orphaned_files;
mod periodic;
mod reconciler;
mod retention;
mod start_runs;
pub(crate) mod temporal_runs;
pub(crate) mod workers;

use crate::dispatch::reconciler::Reconciler;
use crate::dispatch::start_runs::RunStarter;
use crate::dispatch::temporal_runs::{TemporalError, TemporalRuns};
use crate::dispatch::workers::{SeenWorker, seen_workers};
use crate::settings::poll_schedule;
use diagflow_store::settings::seconds;
use diagflow_store::{BlobStore, Eraser, RetentionPeriod, RunKey, Store, StoreError};
use diagflow_workflows::PollSchedule;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use temporalio_client::Client;
use temporalio_client::tonic::IntoRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Maximum number of runs waiting in memory to be started. Any that do not fit are started by the next sweep.
const QUEUE_LENGTH: usize = 1024;
/// Maximum number of concurrent Temporal calls per task.
const CONCURRENCY: usize = 16;
/// Maximum number of rows claimed per sweep.
const BATCH: i64 = 100;
/// Time limit for a call whose outcome is only displayed.
const TEMPORAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which another process may claim the same rows.
const LEASE: Duration = Duration::from_secs(30);

/// `cli/src/settings/defaults.toml` documents each setting and its default.
#[derive(Debug, Clone, Deserialize)]
pub struct DispatchSettings {
    #[serde(rename = "TEMPORAL_TASK_QUEUE")]
    pub task_queue: String,
    #[serde(deserialize_with = "poll_schedule")]
    pub schedule: PollSchedule,
    #[serde(rename = "OUTBOX_SWEEP_SECONDS", deserialize_with = "seconds")]
    pub sweep_interval: Duration,
    #[serde(rename = "RECONCILE_AFTER_SECONDS", deserialize_with = "seconds")]
    pub reconcile_after: Duration,
    #[serde(rename = "RECONCILE_SWEEP_SECONDS", deserialize_with = "seconds")]
    pub reconcile_interval: Duration,
    #[serde(rename = "ORPHANED_FILE_SECONDS", deserialize_with = "seconds")]
    pub orphaned_file_age: Duration,
    #[serde(rename = "RETENTION_DAYS")]
    pub retention: Option<RetentionPeriod>,
}

/// Handle through which request handlers reach the background tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatch {
    pub(crate) temporal: TemporalRuns,
    /// Time after which a run times out.
    pub(crate) deadline: Duration,
    task_queue: String,
    queue: mpsc::Sender<RunKey>,
    reconcile: Arc<Notify>,
}

pub struct BackgroundTasks {
    store: Store,
    blobs: BlobStore,
    eraser: Eraser,
    temporal: TemporalRuns,
    queue: mpsc::Receiver<RunKey>,
    reconcile: Arc<Notify>,
    settings: DispatchSettings,
}

/// Reason a step failed. The next sweep retries the step.
#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    #[error("{}", .0.kind())]
    Store(#[from] StoreError),
}

impl Dispatch {
    /// `client` contains the Temporal client once a connection has been established.
    pub fn new(
        store: Store,
        blobs: BlobStore,
        eraser: Eraser,
        client: watch::Receiver<Option<Client>>,
        settings: DispatchSettings,
    ) -> (Dispatch, BackgroundTasks) {
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        let (temporal, reconcile) = (TemporalRuns::new(client), Arc::new(Notify::new()));
        let dispatch = Dispatch {
            temporal: temporal.clone(),
            deadline: settings.schedule.deadline(),
            task_queue: settings.task_queue.clone(),
            queue: sender,
            reconcile: reconcile.clone(),
        };
        (dispatch, BackgroundTasks { store, blobs, eraser, temporal, queue, reconcile, settings })
    }

    /// Queues a stored run to be started, without waiting for it to start.
    pub(crate) fn start_soon(&self, run: RunKey) {
        if self.queue.try_send(run).is_err() {
            tracing::debug!(submission = %run.submission, "start queue full; the next sweep will start the run");
        }
    }

    /// Returns the workers that poll the task queue, or `None` if Temporal is unavailable.
    pub(crate) async fn workers(&self) -> Option<Vec<SeenWorker>> {
        let client = self.temporal.client().ok()?;
        let workers = seen_workers(&client, &self.task_queue);
        timeout(TEMPORAL_TIMEOUT, workers).await.ok()?.ok()
    }

    /// Returns the version of the Temporal server, or `None` if Temporal is unavailable.
    pub(crate) async fn temporal_version(&self) -> Option<String> {
        let client = self.temporal.client().ok()?;
        let mut service = client.connection().workflow_service();
        let info = service.get_system_info(GetSystemInfoRequest::default().into_request());
        Some(timeout(TEMPORAL_TIMEOUT, info).await.ok()?.ok()?.into_inner().server_version)
    }

    /// Makes the reconciler pass stored cancellations and pending e-mails to Temporal immediately.
    pub(crate) fn wake_reconciler(&self) {
        self.reconcile.notify_one();
    }
}

impl BackgroundTasks {
    /// Runs all tasks until `stop` is cancelled. Steps in progress are dropped at that point and repeated by the next
    /// sweep of any process.
    pub async fn run(self, stop: CancellationToken) {
        let Self { store, blobs, eraser, temporal, queue, reconcile, settings } = self;
        let starter = RunStarter::new(store.clone(), temporal.clone(), &settings);
        let reconciler = Reconciler::new(store.clone(), temporal, reconcile, &settings);
        let tasks = async {
            tokio::join!(
                starter.start_queued(queue),
                starter.sweep_periodically(),
                reconciler.run(),
                orphaned_files::run(&store, &blobs, settings.orphaned_file_age),
                retention::run(&eraser, settings.retention),
                expired_rows::run(&store),
                audit_checkpoint::run(&store),
            )
        };
        stop.run_until_cancelled(tasks).await;
    }
}

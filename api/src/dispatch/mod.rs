//! Background tasks: start queued runs, reconcile Temporal with the database, remove orphaned files and
//! expired rows. One file per task.
//!
//! All pending work is in the database and every step is idempotent, so no work is lost when a task fails or stops.

mod expired_rows;
mod orphaned_files;
mod periodic;
mod reconciler;
mod start_runs;
pub(crate) mod temporal_runs;

use crate::dispatch::reconciler::Reconciler;
use crate::dispatch::start_runs::RunStarter;
use crate::dispatch::temporal_runs::{TemporalError, TemporalRuns};
use crate::settings::poll_schedule;
use diagflow_store::settings::seconds;
use diagflow_store::{BlobStore, RunKey, Store, StoreError};
use diagflow_workflows::PollSchedule;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use temporalio_client::Client;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Largest number of runs that wait in memory to be started. The next sweep finds any others.
const QUEUE_LENGTH: usize = 1024;
/// Largest number of concurrent calls to Temporal by one task.
const CONCURRENCY: usize = 16;
/// Largest number of rows that one sweep claims.
const BATCH: i64 = 100;
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
}

/// The handlers' interface to the background tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatch {
    pub(crate) temporal: TemporalRuns,
    queue: mpsc::Sender<RunKey>,
    reconcile: Arc<Notify>,
}

pub struct BackgroundTasks {
    store: Store,
    blobs: BlobStore,
    temporal: TemporalRuns,
    queue: mpsc::Receiver<RunKey>,
    reconcile: Arc<Notify>,
    settings: DispatchSettings,
}

/// Why a step failed. The next sweep repeats it.
#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    #[error("{}", .0.kind())]
    Store(#[from] StoreError),
}

impl Dispatch {
    /// `client` holds the Temporal client once there is a connection.
    pub fn new(
        store: Store,
        blobs: BlobStore,
        client: watch::Receiver<Option<Client>>,
        settings: DispatchSettings,
    ) -> (Dispatch, BackgroundTasks) {
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        let (temporal, reconcile) = (TemporalRuns::new(client), Arc::new(Notify::new()));
        let dispatch =
            Dispatch { temporal: temporal.clone(), queue: sender, reconcile: reconcile.clone() };
        (dispatch, BackgroundTasks { store, blobs, temporal, queue, reconcile, settings })
    }

    /// Requests the start of a stored run, without waiting for it.
    pub(crate) fn start_soon(&self, run: RunKey) {
        if self.queue.try_send(run).is_err() {
            tracing::debug!(submission = %run.submission, "start queue full, run left to the sweep");
        }
    }

    /// Makes the reconciler pass stored cancellations and e-mails to Temporal now.
    pub(crate) fn wake_reconciler(&self) {
        self.reconcile.notify_one();
    }
}

impl BackgroundTasks {
    /// Runs all tasks until `stop` is cancelled. It then drops steps in progress, which the next sweep of any process
    /// repeats.
    pub async fn run(self, stop: CancellationToken) {
        let Self { store, blobs, temporal, queue, reconcile, settings } = self;
        let starter = RunStarter::new(store.clone(), temporal.clone(), &settings);
        let reconciler = Reconciler::new(store.clone(), temporal, reconcile, &settings);
        let tasks = async {
            tokio::join!(
                starter.start_queued(queue),
                starter.sweep_periodically(),
                reconciler.run(),
                orphaned_files::run(&store, &blobs, settings.orphaned_file_age),
                expired_rows::run(&store),
            )
        };
        stop.run_until_cancelled(tasks).await;
    }
}

//! Starts the runs that wait: at once after a submission, and by sweeping what was left over.
//!
//! A run without a Temporal execution stands in the database, so nothing here can lose one. Starting
//! twice is harmless: Temporal keeps one open execution for each submission, and the records let only
//! one execution be the run (`store::runs`).

use crate::error::kind;
use diagflow_store::{Failpoint, RunKey, Store, StoreError, StoreResult};
use diagflow_workflows::contract::{DiagnosisInput, RunStatus, SUBMISSION_STATUS};
use diagflow_workflows::{DiagnosisWorkflow, PollSchedule, workflow_id};
use futures::StreamExt;
use std::time::Duration;
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError};
use temporalio_client::{
    Client, NamespacedClient, WorkflowDescribeOptions, WorkflowExecutionInfo, WorkflowHandle,
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::search_attributes::SearchAttributes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Runs that may wait in memory for the starter; more of them are left to the sweeper.
const QUEUE: usize = 1024;
/// Runs that are started at once by this process.
const CONCURRENCY: usize = 16;
/// Runs that one sweep takes; the next sweep follows at once while there are more.
const BATCH: i64 = 100;
/// How long a swept run is left to this process before another may take it.
const LEASE: Duration = Duration::from_secs(30);
/// How often expired Idempotency-Keys, failed sign-ins that have healed, and old sessions are removed.
const EXPIRED_ROWS_INTERVAL: Duration = Duration::from_secs(600);

/// Hands runs to the starter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StartQueue {
    queue: mpsc::Sender<RunKey>,
}

/// Starts runs in the background; made together with its [`StartQueue`].
pub struct RunStarter {
    queue: mpsc::Receiver<RunKey>,
    store: Store,
    temporal: watch::Receiver<Option<Client>>,
    settings: RunStarterSettings,
}

/// How runs are started.
#[derive(Debug, Clone)]
pub struct RunStarterSettings {
    /// `TEMPORAL_TASK_QUEUE`: where workers listen.
    pub task_queue: String,
    /// `DIAGNOSIS_POLL_SECONDS` and `DIAGNOSIS_DEADLINE_SECONDS`: given to each run as it starts.
    pub schedule: PollSchedule,
    /// `OUTBOX_SWEEP_SECONDS`: pause between two sweeps.
    pub sweep_interval: Duration,
}

impl StartQueue {
    /// An outbox and its starter. `temporal` holds the client once there is a connection.
    pub fn new(
        store: Store,
        temporal: watch::Receiver<Option<Client>>,
        settings: RunStarterSettings,
    ) -> (StartQueue, RunStarter) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (StartQueue { queue: sender }, RunStarter { queue, store, temporal, settings })
    }

    /// Asks for a run to be started soon, without waiting. When the starter is too busy to take it,
    /// the sweeper will: the run stands in the database.
    pub fn push(&self, run: RunKey) {
        if self.queue.try_send(run).is_err() {
            tracing::debug!("the starter is busy, the sweeper will start the run");
        }
    }
}

/// Why a run was not started now. It stays in the outbox.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("no connection to Temporal")]
    NoConnection,
    #[error("an earlier run of the submission is still open")]
    EarlierRunOpen,
    #[error("an execution of the submission is open that no worker has taken up yet")]
    NotAdopted,
    #[error("this process is ending")]
    Stopping,
    #[error("Temporal: {0}")]
    Temporal(WorkflowStartError),
    #[error("Temporal: {0}")]
    TemporalError(WorkflowInteractionError),
    #[error("{}", kind(.0))]
    Records(#[from] StoreError),
}

impl RunStarter {
    /// Starts runs until `stop` is cancelled. What is not started then is swept by whoever comes next.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(self.settings.sweep_interval);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut expire = tokio::time::interval(EXPIRED_ROWS_INTERVAL);
        let mut queued = Vec::with_capacity(CONCURRENCY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                count = self.queue.recv_many(&mut queued, CONCURRENCY) => {
                    if count == 0 {
                        return;
                    }
                    self.start_all(queued.drain(..), &stop).await;
                }
                _ = sweep.tick() => {
                    if self.sweep(&stop).await {
                        sweep.reset_immediately();
                    }
                }
                _ = expire.tick() => {
                    self.expire().await;
                }
            }
        }
    }

    /// Starts one batch of what was left over; says whether there may be more. One batch alone, so that
    /// queued runs need not wait for all of them.
    async fn sweep(&self, stop: &CancellationToken) -> bool {
        if self.temporal.borrow().is_none() {
            return false;
        }
        let runs = match self.store.claim_queued_runs(BATCH, LEASE).await {
            Ok(runs) => runs,
            Err(error) => {
                tracing::warn!(error = kind(&error), "cannot sweep the outbox");
                return false;
            }
        };
        let is_last = (runs.len() as i64) < BATCH;
        if !runs.is_empty() {
            tracing::info!(runs = runs.len(), "starting runs that were left over");
        }
        self.start_all(runs.into_iter(), stop).await;
        !is_last
    }

    /// Removes what nobody asks for any more.
    async fn expire(&self) {
        log_removed("expired idempotency keys", self.store.sweep_idempotency_keys().await);
        log_removed("failed sign-ins that have healed", self.store.sweep_throttles().await);
        log_removed("sessions that ended long ago", self.store.sweep_sessions().await);
    }

    async fn start_all(&self, runs: impl Iterator<Item = RunKey>, stop: &CancellationToken) {
        futures::stream::iter(runs)
            .for_each_concurrent(CONCURRENCY, |run| async move {
                if let Err(error) = self.start(run, stop).await {
                    tracing::warn!(submission = %run.submission, %error, "run not started yet");
                }
            })
            .await;
    }

    /// Starts one run, and notes which execution it became. Does not wait for Temporal once `stop` is
    /// cancelled: a start that got through all the same is found by whoever sweeps the run.
    async fn start(&self, run: RunKey, stop: &CancellationToken) -> Result<(), StartError> {
        let client = self.temporal.borrow().clone().ok_or(StartError::NoConnection)?;
        let input = DiagnosisInput {
            submission_id: run.submission.to_string(),
            run: run.number,
            schedule: self.settings.schedule.clone(),
        };
        Failpoint::BeforeRunStart.pass().await;
        let start = client.start_workflow(DiagnosisWorkflow::run, input, self.options(run));
        let Some(started) = stop.run_until_cancelled(start).await else {
            return Err(StartError::Stopping);
        };
        match started {
            Ok(handle) => {
                Failpoint::AfterRunStart.pass().await;
                if let Some(temporal_run_id) = handle.run_id() {
                    self.store.mark_run_started(run, temporal_run_id).await?;
                }
                Ok(())
            }
            Err(WorkflowStartError::AlreadyStarted { run_id: Some(open), .. }) => {
                self.resolve_existing(&client, run, &open).await
            }
            Err(error) => Err(StartError::Temporal(error)),
        }
    }

    /// Finds out what an execution is that was there before this run was started.
    async fn resolve_existing(
        &self,
        client: &Client,
        run: RunKey,
        open: &str,
    ) -> Result<(), StartError> {
        let known = self.store.runs(run.submission).await?;
        let matching = known.iter().find(|known| known.temporal_run_id.as_deref() == Some(open));
        match matching.map(|matching| matching.number) {
            Some(number) if number == run.number => Ok(()),
            Some(_) => {
                self.signal_make_room(client, run, open).await?;
                Err(StartError::EarlierRunOpen)
            }
            // A first run is started once, so a closed execution was it: terminated before a worker took it
            // up, and before its start was noted. Noted now, the keeper ends it as lost.
            None if run.number == 1 && is_closed(client, run, open).await? => {
                self.store.mark_run_started(run, open).await?;
                Ok(())
            }
            // This run, by a start whose answer was lost, or one of an earlier run. The execution knows,
            // and says so to the records before it does anything.
            None => Err(StartError::NotAdopted),
        }
    }

    /// Asks an earlier run, whose submission has ended and was set going again since, to be out of the way,
    /// and lets a sweep soon try again.
    async fn signal_make_room(
        &self,
        client: &Client,
        run: RunKey,
        earlier: &str,
    ) -> Result<(), StartError> {
        let earlier = execution(client, run, earlier);
        let options = WorkflowSignalOptions::default();
        match earlier.signal(DiagnosisWorkflow::make_room, (), options).await {
            // Closed meanwhile: so much the better.
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => {}
            Err(error) => return Err(StartError::TemporalError(error)),
        }
        self.store.requeue_run(run, self.settings.sweep_interval).await?;
        Ok(())
    }

    fn options(&self, run: RunKey) -> WorkflowStartOptions {
        let id = workflow_id(&run.submission.to_string());
        // A first run is started once, even when an earlier start has come to its end meanwhile.
        let reuse = match run.number {
            1 => WorkflowIdReusePolicy::RejectDuplicate,
            _ => WorkflowIdReusePolicy::AllowDuplicate,
        };
        let attributes =
            SearchAttributes::new([SUBMISSION_STATUS.value_set(RunStatus::Pending.name().into())]);
        WorkflowStartOptions::new(self.settings.task_queue.clone(), id)
            .id_reuse_policy(reuse)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .search_attributes(attributes)
            .static_summary(format!("Diagnosis, run {}", run.number))
            .build()
    }
}

/// One execution of a run's submission.
fn execution(
    client: &Client,
    run: RunKey,
    temporal_run_id: &str,
) -> WorkflowHandle<Client, DiagnosisWorkflow> {
    let info = WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(workflow_id(&run.submission.to_string()))
        .run_id(temporal_run_id)
        .build();
    WorkflowHandle::new(client.clone(), info)
}

async fn is_closed(
    client: &Client,
    run: RunKey,
    temporal_run_id: &str,
) -> Result<bool, StartError> {
    let execution = execution(client, run, temporal_run_id);
    match execution.describe(WorkflowDescribeOptions::default()).await {
        Ok(found) => Ok(found.close_time().is_some()),
        Err(error) => Err(StartError::TemporalError(error)),
    }
}

/// Tells what came of a sweep.
fn log_removed(what: &str, swept: StoreResult<usize>) {
    match swept {
        Ok(0) => {}
        Ok(swept) => tracing::debug!(swept, "removed {what}"),
        Err(error) => tracing::warn!(error = kind(&error), "cannot remove {what}"),
    }
}

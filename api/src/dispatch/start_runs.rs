//! Starts queued runs, both immediately after a submission or retry and in a periodic sweep of the outbox.
//!
//! A run without a Temporal execution is an outbox entry. Starting a run twice is harmless: Temporal allows only one
//! open execution per submission, and the database lets only one execution adopt the run.

use crate::dispatch::periodic::{Backlog, periodic};
use crate::dispatch::temporal_runs::{TemporalError, TemporalRuns};
use crate::dispatch::{BATCH, CONCURRENCY, DispatchSettings, LEASE, TaskError};
use diagflow_store::{Failpoint, RunKey, Store, StoreError};
use diagflow_workflows::contract::{DiagnosisInput, RunStatus, SUBMISSION_STATUS};
use diagflow_workflows::{DiagnosisWorkflow, PollSchedule, SubmissionRef};
use futures::StreamExt;
use std::time::Duration;
use temporalio_client::errors::WorkflowStartError;
use temporalio_client::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowStartOptions};
use temporalio_common::search_attributes::SearchAttributes;
use tokio::sync::{Notify, mpsc};

/// Reason a run was not started. The next sweep tries again.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("an earlier run of the submission is still open")]
    EarlierRunOpen,
    #[error("no worker has adopted the open execution yet")]
    NotAdopted,
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    #[error("{}", .0.kind())]
    Store(#[from] StoreError),
}

pub(super) struct RunStarter {
    store: Store,
    temporal: TemporalRuns,
    task_queue: String,
    schedule: PollSchedule,
    sweep_interval: Duration,
}

impl RunStarter {
    pub(super) fn new(store: Store, temporal: TemporalRuns, settings: &DispatchSettings) -> Self {
        let DispatchSettings { task_queue, schedule, sweep_interval, .. } = settings.clone();
        Self { store, temporal, task_queue, schedule, sweep_interval }
    }

    /// Starts runs from `queue` until all senders have been dropped.
    pub(super) async fn start_queued(&self, mut queue: mpsc::Receiver<RunKey>) {
        let mut runs = Vec::with_capacity(CONCURRENCY);
        while queue.recv_many(&mut runs, CONCURRENCY).await > 0 {
            // Without a connection, the runs stay in the outbox. The reason for the missing connection is logged
            // elsewhere.
            if self.temporal.is_connected() {
                self.start_all(runs.drain(..)).await;
            } else {
                runs.clear();
            }
        }
    }

    pub(super) async fn sweep_periodically(&self) {
        let never = Notify::new();
        periodic("start_runs", self.sweep_interval, &never, || self.sweep()).await;
    }

    async fn sweep(&self) -> Result<Backlog, TaskError> {
        if !self.temporal.is_connected() {
            return Ok(Backlog::None);
        }
        let runs = self.store.claim_queued_runs(BATCH, LEASE).await?;
        if !runs.is_empty() {
            tracing::info!(runs = runs.len(), "starting runs left in the outbox");
        }
        let backlog = if runs.len() as i64 == BATCH { Backlog::Some } else { Backlog::None };
        self.start_all(runs).await;
        Ok(backlog)
    }

    async fn start_all(&self, runs: impl IntoIterator<Item = RunKey>) {
        futures::stream::iter(runs)
            .for_each_concurrent(CONCURRENCY, |run| async move {
                if let Err(error) = self.start(run).await {
                    tracing::warn!(submission = %run.submission, %error, "run not started yet");
                }
            })
            .await;
    }

    async fn start(&self, run: RunKey) -> Result<(), StartError> {
        let client = self.temporal.client()?;
        let input = DiagnosisInput {
            submission_id: SubmissionRef::new(run.submission),
            run: run.number,
            schedule: self.schedule.clone(),
        };
        Failpoint::BeforeRunStart.pass().await;
        match client.start_workflow(DiagnosisWorkflow::run, input, self.options(run)).await {
            Ok(handle) => {
                Failpoint::AfterRunStart.pass().await;
                if let Some(temporal_run_id) = handle.run_id() {
                    self.store.mark_run_started(run, temporal_run_id).await?;
                }
                Ok(())
            }
            Err(WorkflowStartError::AlreadyStarted { run_id: Some(existing), .. }) => {
                self.resolve_existing(run, &existing).await
            }
            Err(error) => Err(TemporalError::from(error).into()),
        }
    }

    /// Decides what to do if the submission already has a workflow execution.
    async fn resolve_existing(&self, run: RunKey, existing: &str) -> Result<(), StartError> {
        let known = self.store.runs(run.submission).await?;
        let owner = known.iter().find(|known| known.temporal_run_id.as_deref() == Some(existing));
        match owner.map(|owner| owner.number) {
            Some(number) if number == run.number => Ok(()),
            Some(_) => {
                self.temporal.request_yield(run.submission, existing).await?;
                self.store.requeue_run(run, self.sweep_interval).await?;
                Err(StartError::EarlierRunOpen)
            }
            // The first run is started only once, so a closed execution must have belonged to this run and been
            // terminated before a worker adopted it. Once the execution has been recorded, the reconciler ends the run
            // as orphaned.
            None if run.number == 1
                && self.temporal.is_closed(run.submission, existing).await? =>
            {
                self.store.mark_run_started(run, existing).await?;
                Ok(())
            }
            // The execution belongs either to this run, if the response to the start request was lost, or to an earlier
            // run. A later sweep can determine which, because an execution records itself before doing anything else.
            None => Err(StartError::NotAdopted),
        }
    }

    fn options(&self, run: RunKey) -> WorkflowStartOptions {
        // The first run is started only once, even if its execution has already closed.
        let reuse = match run.number {
            1 => WorkflowIdReusePolicy::RejectDuplicate,
            _ => WorkflowIdReusePolicy::AllowDuplicate,
        };
        let attributes =
            SearchAttributes::new([SUBMISSION_STATUS.value_set(RunStatus::Pending.name().into())]);
        let id = SubmissionRef::new(run.submission).workflow_id();
        WorkflowStartOptions::new(self.task_queue.clone(), id)
            .id_reuse_policy(reuse)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .search_attributes(attributes)
            .static_summary(format!("Diagnosis, run {}", run.number))
            .build()
    }
}

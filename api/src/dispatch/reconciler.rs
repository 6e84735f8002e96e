//! Keeps Temporal and the records together: passes on what staff decided, starts the e-mails that are
//! delivered outside a run, and ends in the records what Temporal has lost.
//!
//! Everything that is to be done stands in the database, so nothing here can lose it, and doing any of it
//! twice is harmless.

use crate::dispatch::temporal_runs::{LatestExecution, TemporalError, TemporalRuns};
use crate::error::kind;
use diagflow_store::{StaleCursor, StaleItem, StartedRun, Store, StoreError};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// What is passed on at once by this process.
const CONCURRENCY: usize = 16;
/// What one sweep takes; the next one follows after the usual pause.
const BATCH: i64 = 100;
/// How long what was taken is left to this process before another may take it.
const LEASE: Duration = Duration::from_secs(30);

/// How long Temporal may take for one of them, less than the lease.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often is looked, and at what.
#[derive(Debug, Clone)]
pub struct ReconcilerSettings {
    /// `TEMPORAL_TASK_QUEUE`: where workers listen.
    pub task_queue: String,
    /// `OUTBOX_SWEEP_SECONDS`: pause between two sweeps of what is to be passed on.
    pub sweep_interval: Duration,
    /// `RECONCILE_AFTER_SECONDS`: how long something may stand unchanged before Temporal is asked whether it
    /// still has it. Default: 300 s.
    pub reconcile_after: Duration,
    /// `RECONCILE_SWEEP_SECONDS`: pause between two rounds of asking, of at most 100 questions each. Default:
    /// 60 s.
    pub reconcile_interval: Duration,
}

/// See the head of this file.
pub struct Reconciler {
    store: Store,
    runs: TemporalRuns,
    settings: ReconcilerSettings,
    /// The end of the last round of asking; the next one begins behind it.
    cursor: Option<StaleCursor>,
}

/// Why something was not passed on now. It is tried again.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    #[error("{}", kind(.0))]
    Records(#[from] StoreError),
}

impl Reconciler {
    /// A keeper of these records.
    pub fn new(store: Store, runs: TemporalRuns, settings: ReconcilerSettings) -> Reconciler {
        Reconciler { store, runs, settings, cursor: None }
    }

    /// Works until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sweep = interval(self.settings.sweep_interval);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reconcile = interval(self.settings.reconcile_interval);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_stale_sweep = tokio::select! {
                () = stop.cancelled() => return,
                () = self.runs.reconcile_requested() => false,
                _ = sweep.tick() => false,
                _ = reconcile.tick() => true,
            };
            if self.runs.client().is_err() {
                continue;
            }
            // Whatever is left half done is found by whoever sweeps next.
            let work = async {
                if is_stale_sweep {
                    self.reconcile_stale().await
                } else {
                    self.dispatch_pending().await
                }
            };
            if let Some(Err(error)) = stop.run_until_cancelled(work).await {
                tracing::warn!(%error, "cannot keep Temporal and the records together");
            }
        }
    }

    /// Passes on what the records say that Temporal does not know yet.
    async fn dispatch_pending(&self) -> Result<(), ReconcileError> {
        let cancelled = self.store.claim_cancellations(BATCH, LEASE).await?;
        let cancelled =
            for_each_with_timeout(cancelled, |started| async move { self.cancel(&started).await });
        let due = self.store.claim_standalone_deliveries(BATCH, LEASE).await?;
        let started = for_each_with_timeout(due, |delivery| async move {
            self.runs.start_delivery(delivery, &self.settings.task_queue).await?;
            Ok(self.store.mark_delivery_started(delivery).await?)
        });
        tokio::join!(cancelled, started);
        Ok(())
    }

    /// Tells Temporal that a run is called off.
    async fn cancel(&self, started: &StartedRun) -> Result<(), ReconcileError> {
        self.runs.cancel(started).await?;
        // Temporal may take the wish for an execution that is closed, without effect.
        self.reconcile_cancelled_run(started).await?;
        Ok(self.store.clear_cancellation(started.run).await?)
    }

    /// Finds out what goes on of a run that was called off: it may have been closed from outside, or be
    /// another execution by now.
    async fn reconcile_cancelled_run(&self, started: &StartedRun) -> Result<(), ReconcileError> {
        let submission = started.run.submission;
        let temporal_run_id = match self.runs.latest_execution(submission).await? {
            LatestExecution::Closed => return self.end_orphaned(started).await,
            LatestExecution::Open(same) if same == started.temporal_run_id => return Ok(()),
            LatestExecution::Open(another) => another,
        };
        let known = self.store.runs(submission).await?;
        // It may be that one, also before its start was noted: nobody called a newer run off.
        let has_newer_run = known.iter().any(|run| run.number > started.run.number);
        // Else one that a *Reset* made of this run, and that has not come to the records yet.
        if !has_newer_run {
            self.runs.cancel(&StartedRun { temporal_run_id, ..started.clone() }).await?;
        }
        Ok(())
    }

    /// Frees what nobody needs any more, and is_stale_sweep Temporal about the next of what has stood unchanged for long.
    async fn reconcile_stale(&mut self) -> Result<(), ReconcileError> {
        let freed = self.store.release_stale_slots().await?;
        if freed > 0 {
            tracing::info!(freed, "places at LoopAI were held by runs that had ended");
        }
        let unchanged = self.settings.reconcile_after;
        let overdue = self.store.stale_items(unchanged, self.cursor.as_ref(), BATCH).await?;
        // From the beginning again after the last.
        self.cursor = overdue.last().map(|(place, _)| place.clone());
        let reconciler = &*self;
        for_each_with_timeout(overdue, |(_, overdue)| async move {
            reconciler.reconcile_item(&overdue).await
        })
        .await;
        Ok(())
    }

    /// Ends what Temporal does not work on any more.
    async fn reconcile_item(&self, overdue: &StaleItem) -> Result<(), ReconcileError> {
        if self.runs.latest_execution(overdue.submission()).await? != LatestExecution::Closed {
            return Ok(());
        }
        match overdue {
            StaleItem::Run(started) => self.end_orphaned(started).await,
            StaleItem::Delivery(delivery, _) => {
                self.store.queue_standalone_delivery(*delivery).await?;
                self.runs.wake_reconciler();
                Ok(())
            }
        }
    }

    async fn end_orphaned(&self, started: &StartedRun) -> Result<(), ReconcileError> {
        if self.store.end_orphaned_run(started.run).await? {
            let submission = started.run.submission;
            tracing::warn!(%submission, "a run had ended in Temporal without a word");
            self.runs.wake_reconciler();
        }
        Ok(())
    }
}

/// Does something with each of them, several at once.
async fn for_each_with_timeout<T, F: Future<Output = Result<(), ReconcileError>>>(
    items: Vec<T>,
    act: impl Fn(T) -> F,
) {
    futures::stream::iter(items)
        .for_each_concurrent(CONCURRENCY, |item| {
            let work = act(item);
            async move {
                match timeout(TIMEOUT, work).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "not passed on to Temporal yet"),
                    Err(_) => tracing::warn!("not passed on to Temporal yet: no answer"),
                }
            }
        })
        .await;
}

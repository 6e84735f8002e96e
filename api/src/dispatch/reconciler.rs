//! Reconciles Temporal with the database: passes cancellations to Temporal, starts the delivery of e-mails outside a
//! run, and ends runs whose execution closed without recording the end.

use crate::dispatch::periodic::{Backlog, periodic};
use crate::dispatch::temporal_runs::{LatestExecution, TemporalRuns};
use crate::dispatch::{BATCH, CONCURRENCY, DispatchSettings, LEASE, TaskError};
use diagflow_store::{DeliveryId, StaleCursor, StaleItem, StartedRun, Store};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

/// Time limit for one item, which is shorter than the lease.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Reconciler {
    store: Store,
    temporal: TemporalRuns,
    wake: Arc<Notify>,
    settings: DispatchSettings,
    /// Position at which the last check of stale items ended.
    cursor: Mutex<Option<StaleCursor>>,
}

impl Reconciler {
    pub(super) fn new(
        store: Store,
        temporal: TemporalRuns,
        wake: Arc<Notify>,
        settings: &DispatchSettings,
    ) -> Self {
        Self { store, temporal, wake, settings: settings.clone(), cursor: Mutex::default() }
    }

    pub(super) async fn run(&self) {
        let (sweep, check) = (self.settings.sweep_interval, self.settings.reconcile_interval);
        let never = Notify::new();
        tokio::join!(
            periodic("dispatch_pending", sweep, &self.wake, || self.dispatch_pending()),
            periodic("reconcile", check, &never, || self.reconcile_stale()),
        );
    }

    async fn dispatch_pending(&self) -> Result<Backlog, TaskError> {
        if !self.temporal.is_connected() {
            return Ok(Backlog::None);
        }
        let cancelled = self.store.claim_cancellations(BATCH, LEASE).await?;
        let due = self.store.claim_standalone_deliveries(BATCH, LEASE).await?;
        tokio::join!(
            for_each(cancelled, |run| self.cancel(run)),
            for_each(due, |delivery| self.start_delivery(delivery)),
        );
        Ok(Backlog::None)
    }

    async fn cancel(&self, run: StartedRun) -> Result<(), TaskError> {
        self.temporal.cancel(&run).await?;
        // Temporal accepts the cancellation of a closed execution, without effect.
        self.reconcile_cancelled_run(&run).await?;
        Ok(self.store.clear_cancellation(run.run).await?)
    }

    async fn start_delivery(&self, delivery: DeliveryId) -> Result<(), TaskError> {
        self.temporal.start_delivery(delivery, &self.settings.task_queue).await?;
        Ok(self.store.mark_delivery_started(delivery).await?)
    }

    /// Handles a cancelled run whose execution is closed or was replaced by another execution.
    async fn reconcile_cancelled_run(&self, run: &StartedRun) -> Result<(), TaskError> {
        let submission = run.run.submission;
        let latest = match self.temporal.latest_execution(submission).await? {
            LatestExecution::Closed => return self.end_orphaned(run).await,
            LatestExecution::Open(same) if same == run.temporal_run_id => return Ok(()),
            LatestExecution::Open(another) => another,
        };
        // The other execution may belong to a newer run, which was not cancelled and whose start may not be recorded
        // yet.
        let known = self.store.runs(submission).await?;
        let has_newer_run = known.iter().any(|known| known.number > run.run.number);
        // Otherwise it was created by a *Reset* of this run and has not been adopted yet.
        if !has_newer_run {
            let reset = StartedRun { temporal_run_id: latest, ..run.clone() };
            self.temporal.cancel(&reset).await?;
        }
        Ok(())
    }

    /// Checks the next batch of runs and e-mails that have not changed for a long time. The check after the last item
    /// starts again with the first.
    async fn reconcile_stale(&self) -> Result<Backlog, TaskError> {
        if !self.temporal.is_connected() {
            return Ok(Backlog::None);
        }
        let released = self.store.release_stale_slots().await?;
        if released > 0 {
            tracing::info!(released, "released LoopAI slots of runs that had ended");
        }
        let unchanged = self.settings.reconcile_after;
        let mut cursor = self.cursor.lock().await;
        let stale = self.store.stale_items(unchanged, cursor.as_ref(), BATCH).await?;
        *cursor = stale.last().map(|(position, _)| position.clone());
        for_each(stale, |(_, item)| self.reconcile_item(item)).await;
        Ok(Backlog::None)
    }

    async fn reconcile_item(&self, item: StaleItem) -> Result<(), TaskError> {
        if self.temporal.latest_execution(item.submission()).await? != LatestExecution::Closed {
            return Ok(());
        }
        match item {
            StaleItem::Run(run) => self.end_orphaned(&run).await,
            StaleItem::Delivery(delivery, _) => {
                self.store.queue_standalone_delivery(delivery).await?;
                self.wake.notify_one();
                Ok(())
            }
        }
    }

    async fn end_orphaned(&self, run: &StartedRun) -> Result<(), TaskError> {
        if self.store.end_orphaned_run(run.run).await? {
            tracing::warn!(submission = %run.run.submission, "ended an orphaned run");
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// Handles `items` concurrently. A failure is logged, and a later sweep tries the item again.
async fn for_each<T, F>(items: Vec<T>, handle: impl Fn(T) -> F)
where
    F: Future<Output = Result<(), TaskError>>,
{
    futures::stream::iter(items)
        .map(|item| timeout(TIMEOUT, handle(item)))
        .for_each_concurrent(CONCURRENCY, async |handled| match handled.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "item not reconciled yet"),
            Err(_) => tracing::warn!(error = "timeout", "item not reconciled yet"),
        })
        .await;
}

//! Reconciles Temporal with the database: passes cancellations to Temporal, starts standalone e-mail deliveries, and
//! ends runs whose workflow execution closed without recording an outcome.

use crate::dispatch::periodic::{Backlog, periodic};
use crate::dispatch::temporal_runs::{LatestExecution, ReportedProblemsPage, TemporalRuns};
use crate::dispatch::{BATCH, CONCURRENCY, DispatchSettings, LEASE, TaskError};
use diagflow_store::{
    DeliveryId, StaleCursor, StaleItem, StartedRun, Store, SubmissionId, UtcTime,
};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

/// Time limit per item. Must be shorter than the lease.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Reconciler {
    store: Store,
    temporal: TemporalRuns,
    wake: Arc<Notify>,
    settings: DispatchSettings,
    /// Position at which the last check for stale items stopped.
    cursor: Mutex<Option<StaleCursor>>,
    stuck_cursor: Mutex<Option<(UtcTime, SubmissionId)>>,
    reported_page: Mutex<ReportedProblemsPage>,
}

impl Reconciler {
    pub(super) fn new(
        store: Store,
        temporal: TemporalRuns,
        wake: Arc<Notify>,
        settings: &DispatchSettings,
    ) -> Self {
        Self {
            store,
            temporal,
            wake,
            settings: settings.clone(),
            cursor: Mutex::default(),
            stuck_cursor: Mutex::default(),
            reported_page: Mutex::default(),
        }
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
        // Temporal accepts a request to cancel a closed execution, but ignores it.
        self.reconcile_cancelled_run(&run).await?;
        Ok(self.store.clear_cancellation(run.run).await?)
    }

    async fn start_delivery(&self, delivery: DeliveryId) -> Result<(), TaskError> {
        self.temporal.start_delivery(delivery, &self.settings.task_queue).await?;
        Ok(self.store.mark_delivery_started(delivery).await?)
    }

    /// Handles a cancelled run whose execution has closed or has been replaced by another one.
    async fn reconcile_cancelled_run(&self, run: &StartedRun) -> Result<(), TaskError> {
        let submission = run.run.submission;
        let latest = match self.temporal.latest_execution(submission).await? {
            LatestExecution::Closed => return self.end_orphaned(run).await,
            LatestExecution::Open { temporal_run_id, .. } => temporal_run_id,
        };
        if latest == run.temporal_run_id {
            return Ok(());
        }
        // The open execution may belong to a newer run, which must not be cancelled and whose start may not have been
        // recorded yet.
        let known = self.store.runs(submission).await?;
        let has_newer_run = known.iter().any(|known| known.number > run.run.number);
        // If there is no newer run, the open execution was created by resetting this run and has not been adopted yet.
        if !has_newer_run {
            let reset = StartedRun { temporal_run_id: latest, ..run.clone() };
            self.temporal.cancel(&reset).await?;
        }
        Ok(())
    }

    /// Checks the next batches of stuck runs, of runs for which Temporal reports problems, and of runs and e-mails that
    /// have not changed for a long time. After the last item of each, the next check starts over from its first one.
    /// Also releases stale LoopAI slots.
    async fn reconcile_stale(&self) -> Result<Backlog, TaskError> {
        if !self.temporal.is_connected() {
            return Ok(Backlog::None);
        }
        let released = self.store.release_stale_slots().await?;
        if released > 0 {
            tracing::info!(released, "released LoopAI slots held by ended runs");
        }
        let unchanged = self.settings.reconcile_after;
        let mut cursor = self.cursor.lock().await;
        let stale = self.store.stale_items(unchanged, cursor.as_ref(), BATCH).await?;
        *cursor = stale.last().map(|(position, _)| position.clone());
        for_each(stale, |(_, item)| self.reconcile_item(item)).await;
        drop(cursor);
        for_each(self.reported_problems().await, |submission| self.check_reported(submission))
            .await;
        let mut cursor = self.stuck_cursor.lock().await;
        let stuck = self.store.stuck_submissions(*cursor, BATCH).await?;
        *cursor = stuck.last().copied();
        drop(cursor);
        for_each(stuck, |(_, submission)| self.recheck_stuck(submission)).await;
        Ok(Backlog::None)
    }

    async fn reconcile_item(&self, item: StaleItem) -> Result<(), TaskError> {
        let submission = item.submission();
        match self.temporal.latest_execution(submission).await? {
            LatestExecution::Open { temporal_run_id, is_stuck: true } => {
                return self.record_stuck(submission, &temporal_run_id).await;
            }
            LatestExecution::Open { .. } => return Ok(()),
            LatestExecution::Closed => {}
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

    /// Returns the next batch of submissions for which Temporal reports problems. Runs whose end and e-mail have been
    /// recorded are not among the stale items, but they can still get stuck before they close.
    async fn reported_problems(&self) -> Vec<SubmissionId> {
        let mut page = self.reported_page.lock().await;
        // After an error, the next check starts over, since Temporal may have rejected the page.
        let current = std::mem::take(&mut *page);
        let queue = &self.settings.task_queue;
        match self.temporal.reported_problems(queue, current, BATCH as i32).await {
            Ok((reported, next)) => {
                *page = next;
                reported
            }
            Err(error) => {
                tracing::debug!(%error, "cannot list runs with reported problems");
                Vec::new()
            }
        }
    }

    async fn check_reported(&self, submission: SubmissionId) -> Result<(), TaskError> {
        match self.temporal.latest_execution(submission).await? {
            LatestExecution::Open { temporal_run_id, is_stuck: true } => {
                self.record_stuck(submission, &temporal_run_id).await
            }
            LatestExecution::Open { .. } | LatestExecution::Closed => Ok(()),
        }
    }

    async fn record_stuck(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<(), TaskError> {
        // Reading the cause from a long history is expensive.
        if self.store.is_marked_stuck(submission).await? {
            return Ok(());
        }
        let cause = self.temporal.stuck_cause(submission, temporal_run_id).await?;
        if self.store.mark_stuck(submission, &cause).await? {
            tracing::error!(%submission, cause, "run is stuck: its workflow task fails on every attempt");
        }
        Ok(())
    }

    async fn recheck_stuck(&self, submission: SubmissionId) -> Result<(), TaskError> {
        match self.temporal.latest_execution(submission).await? {
            LatestExecution::Open { is_stuck: true, .. } => {}
            LatestExecution::Open { .. } | LatestExecution::Closed => {
                self.store.clear_stuck(submission).await?;
                tracing::info!(%submission, "run is no longer stuck");
            }
        }
        Ok(())
    }

    async fn end_orphaned(&self, run: &StartedRun) -> Result<(), TaskError> {
        if self.store.end_orphaned_run(run.run).await? {
            tracing::warn!(submission = %run.run.submission, "ended an orphaned run");
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// Handles `items` concurrently. If an item fails, the error is logged, and a later sweep retries the item.
async fn for_each<T, F>(items: Vec<T>, handle: impl Fn(T) -> F)
where
    F: Future<Output = Result<(), TaskError>>,
{
    let timeouts = &AtomicUsize::new(0);
    futures::stream::iter(items)
        .map(|item| timeout(TIMEOUT, handle(item)))
        .for_each_concurrent(CONCURRENCY, async |handled| match handled.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot reconcile item yet"),
            Err(_) => {
                timeouts.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    let items = timeouts.load(Ordering::Relaxed);
    if items > 0 {
        tracing::warn!(items, "timed out while reconciling items");
    }
}

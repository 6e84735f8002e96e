//! Keeps Temporal and the records together: passes on what staff decided, starts the e-mails that are
//! delivered outside a run, and ends in the records what Temporal has lost.
//!
//! Everything that is to be done stands in the database, so nothing here can lose it, and doing any of it
//! twice is harmless.

use crate::dispatch::runs::{Newest, NotReached, Runs};
use crate::error::kind;
use diagflow_store::{Overdue, OverduePlace, StartedRun, Store, StoreError};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// What is passed on at once by this process.
const AT_ONCE: usize = 16;
/// What one sweep takes; the next one follows after the usual pause.
const BATCH: i64 = 100;
/// How long what was taken is left to this process before another may take it.
const LEASE: Duration = Duration::from_secs(30);

/// How long Temporal may take for one of them, less than the lease.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked, and at what.
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    /// `TEMPORAL_TASK_QUEUE`: where workers listen.
    pub task_queue: String,
    /// `SWEEP_SECONDS`: pause between two sweeps of what is to be passed on.
    pub sweep_every: Duration,
    /// `LOST_AFTER_SECONDS`: how long something may stand unchanged before Temporal is asked whether it
    /// still has it. Default: 300 s.
    pub lost_after: Duration,
    /// `LOST_SWEEP_SECONDS`: pause between two rounds of asking, of at most 100 questions each. Default:
    /// 60 s.
    pub lost_every: Duration,
}

/// See the head of this file.
pub struct Keeper {
    store: Store,
    runs: Runs,
    settings: KeeperSettings,
    /// The end of the last round of asking; the next one begins behind it.
    beyond: Option<OverduePlace>,
}

/// Why something was not passed on now. It is tried again.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error(transparent)]
    Temporal(#[from] NotReached),
    #[error("{}", kind(.0))]
    Records(#[from] StoreError),
}

impl Keeper {
    /// A keeper of these records.
    pub fn new(store: Store, runs: Runs, settings: KeeperSettings) -> Keeper {
        Keeper { store, runs, settings, beyond: None }
    }

    /// Works until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sweep = interval(self.settings.sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ask = interval(self.settings.lost_every);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asks = tokio::select! {
                () = stop.cancelled() => return,
                () = self.runs.news() => false,
                _ = sweep.tick() => false,
                _ = ask.tick() => true,
            };
            if self.runs.client().is_err() {
                continue;
            }
            // Whatever is left half done is found by whoever sweeps next.
            let work = async { if asks { self.ask().await } else { self.pass_on().await } };
            if let Some(Err(error)) = stop.run_until_cancelled(work).await {
                tracing::warn!(%error, "cannot keep Temporal and the records together");
            }
        }
    }

    /// Passes on what the records say that Temporal does not know yet.
    async fn pass_on(&self) -> Result<(), NotKept> {
        let called_off = self.store.claim_cancellations(BATCH, LEASE).await?;
        let cancelled = each(called_off, |started| async move { self.cancel(&started).await });
        let owed = self.store.claim_deliveries(BATCH, LEASE).await?;
        let started = each(owed, |delivery| async move {
            self.runs.deliver(delivery, &self.settings.task_queue).await?;
            Ok(self.store.delivery_started(delivery).await?)
        });
        tokio::join!(cancelled, started);
        Ok(())
    }

    /// Tells Temporal that a run is called off.
    async fn cancel(&self, started: &StartedRun) -> Result<(), NotKept> {
        self.runs.cancel(started).await?;
        // Temporal may take the wish for an execution that is closed, without effect.
        self.look_after(started).await?;
        Ok(self.store.cancellation_told(started.run).await?)
    }

    /// Finds out what goes on of a run that was called off: it may have been closed from outside, or be
    /// another execution by now.
    async fn look_after(&self, started: &StartedRun) -> Result<(), NotKept> {
        let submission = started.run.submission;
        let temporal_run_id = match self.runs.newest(submission).await? {
            Newest::Closed => return self.end_lost(started).await,
            Newest::Open(same) if same == started.temporal_run_id => return Ok(()),
            Newest::Open(another) => another,
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

    /// Frees what nobody needs any more, and asks Temporal about the next of what has stood unchanged for long.
    async fn ask(&mut self) -> Result<(), NotKept> {
        let freed = self.store.free_forgotten_places().await?;
        if freed > 0 {
            tracing::info!(freed, "places at LoopAI were held by runs that had ended");
        }
        let unchanged = self.settings.lost_after;
        let overdue = self.store.overdue(unchanged, self.beyond.as_ref(), BATCH).await?;
        // From the beginning again after the last.
        self.beyond = overdue.last().map(|(place, _)| place.clone());
        let keeper = &*self;
        each(overdue, |(_, overdue)| async move { keeper.find(&overdue).await }).await;
        Ok(())
    }

    /// Ends what Temporal does not work on any more.
    async fn find(&self, overdue: &Overdue) -> Result<(), NotKept> {
        if self.runs.newest(overdue.submission()).await? != Newest::Closed {
            return Ok(());
        }
        match overdue {
            Overdue::Run(started) => self.end_lost(started).await,
            Overdue::Mail(delivery, _) => {
                self.store.deliver_outside_a_run(*delivery).await?;
                self.runs.tell_soon();
                Ok(())
            }
        }
    }

    async fn end_lost(&self, started: &StartedRun) -> Result<(), NotKept> {
        if self.store.end_lost_run(started.run).await? {
            let submission = started.run.submission;
            tracing::warn!(%submission, "a run had ended in Temporal without a word");
            self.runs.tell_soon();
        }
        Ok(())
    }
}

/// Does something with each of them, several at once.
async fn each<T, F: Future<Output = Result<(), NotKept>>>(items: Vec<T>, act: impl Fn(T) -> F) {
    futures::stream::iter(items)
        .for_each_concurrent(AT_ONCE, |item| {
            let work = act(item);
            async move {
                match timeout(PATIENCE, work).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "not passed on to Temporal yet"),
                    Err(_) => tracing::warn!("not passed on to Temporal yet: no answer"),
                }
            }
        })
        .await;
}

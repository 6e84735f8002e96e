//! Polls the events table while streams are open. There is one poller per process, regardless of the number of streams.
//! A stream of a single submission is notified and then reads its own events, so any process may write events, and a
//! slow client does not delay others. Streams of all submissions receive the polled rows directly.

use crate::events::cursor::Cursor;
use diagflow_store::{EventRow, Store, StoreResult, SubmissionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Maximum number of rows per query.
const BATCH: i64 = 1000;
/// Pause after a failed query, both in the poller and in the streams.
pub(super) const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// Number of batches by which a stream of all submissions may fall behind.
const BUFFERED_BATCHES: usize = 64;

#[derive(Clone)]
pub(crate) struct EventHub(Arc<Shared>);

struct Shared {
    store: Store,
    poll: Duration,
    listeners: Mutex<Listeners>,
    batches: broadcast::Sender<Arc<[EventRow]>>,
}

#[derive(Default)]
struct Listeners {
    by_submission: HashMap<SubmissionId, watch::Sender<()>>,
    is_polling: bool,
}

impl EventHub {
    pub(crate) fn new(store: Store, poll: Duration) -> Self {
        let batches = broadcast::Sender::new(BUFFERED_BATCHES);
        Self(Arc::new(Shared { store, poll, listeners: Mutex::default(), batches }))
    }

    /// Listens to one submission. Call this *before* you query the events, so that no change in between is missed.
    pub(crate) fn listen(&self, submission: SubmissionId) -> Listener {
        let mut listeners = self.0.lock();
        let sender =
            listeners.by_submission.entry(submission).or_insert_with(|| watch::channel(()).0);
        let wakes = sender.subscribe();
        self.0.ensure_polling(&mut listeners);
        Listener { hub: self.clone(), submission, wakes: Some(wakes) }
    }

    /// Listens to all submissions. Call this *before* you query earlier events.
    pub(crate) fn listen_to_all(&self) -> AllEventsListener {
        let mut listeners = self.0.lock();
        let batches = self.0.batches.subscribe();
        self.0.ensure_polling(&mut listeners);
        AllEventsListener(batches)
    }

    #[cfg(test)]
    fn submission_count(&self) -> usize {
        self.0.lock().by_submission.len()
    }
}

impl Shared {
    /// Ignores a poisoned lock, because no panic can leave the map inconsistent.
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ensure_polling(self: &Arc<Self>, listeners: &mut Listeners) {
        if !listeners.is_polling {
            listeners.is_polling = true;
            tokio::spawn(poll_events(self.clone()));
        }
    }

    fn wake(&self, changed: impl Iterator<Item = SubmissionId>) {
        let listeners = self.lock();
        for submission in changed {
            if let Some(sender) = listeners.by_submission.get(&submission) {
                sender.send_replace(());
            }
        }
    }

    /// Stops polling if there are no listeners. The lock prevents a listener from being added in the meantime.
    fn stop_if_idle(&self) -> bool {
        let mut listeners = self.lock();
        let is_idle = listeners.by_submission.is_empty() && self.batches.receiver_count() == 0;
        if is_idle {
            listeners.is_polling = false;
        }
        is_idle
    }
}

pub(crate) struct Listener {
    hub: EventHub,
    submission: SubmissionId,
    /// `None` only while this listener is being dropped.
    wakes: Option<watch::Receiver<()>>,
}

impl Listener {
    /// Waits until the submission has changed since the last call.
    pub(crate) async fn changed(&mut self) {
        let alive = match &mut self.wakes {
            Some(wakes) => wakes.changed().await.is_ok(),
            None => false,
        };
        if !alive {
            // The sender outlives this listener. If it were missing, returning would cause a busy loop.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.hub.0.lock();
        self.wakes = None;
        let last = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        if listeners.by_submission.get(&self.submission).is_some_and(last) {
            listeners.by_submission.remove(&self.submission);
        }
    }
}

pub(crate) struct AllEventsListener(broadcast::Receiver<Arc<[EventRow]>>);

impl AllEventsListener {
    /// Waits for the next rows. Returns `None` if this listener was too slow and missed rows.
    pub(crate) async fn next(&mut self) -> Option<Arc<[EventRow]>> {
        match self.0.recv().await {
            Ok(changes) => Some(changes),
            Err(RecvError::Lagged(_)) => None,
            // The channel is open as long as the hub exists. If it were closed, returning would cause a busy loop.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn poll_events(shared: Arc<Shared>) {
    let mut cursor = None;
    let mut is_failing = false;
    while !shared.stop_if_idle() {
        let polled = poll_once(&shared, &mut cursor).await;
        // Logged once per outage, to avoid flooding the log.
        match &polled {
            Err(error) if !is_failing => {
                tracing::warn!(error = error.kind(), "event polling failed; retrying");
            }
            Ok(_) if is_failing => tracing::info!("event polling recovered"),
            _ => {}
        }
        is_failing = polled.is_err();
        let pause = match polled {
            Ok(true) => Duration::ZERO,
            Ok(false) => shared.poll,
            Err(_) => DATABASE_RETRY,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Polls the events table once, and returns whether there are more rows.
async fn poll_once(shared: &Shared, cursor: &mut Option<Cursor>) -> StoreResult<bool> {
    let cursor = match cursor {
        Some(cursor) => cursor,
        none => none.insert(Cursor::behind(shared.store.latest_event_id().await?)),
    };
    let rows = shared.store.events_after_id(cursor.position(), &cursor.gaps(), BATCH).await?;
    cursor.advance(rows.iter().map(|change| change.id), Instant::now());
    let more = rows.len() as i64 >= BATCH;
    shared.wake(rows.iter().map(|change| change.submission_id));
    if !rows.is_empty() {
        // Sending fails only if there are no listeners.
        let _ = shared.batches.send(rows.into());
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unreachable_store;
    use futures::FutureExt;

    async fn hub() -> EventHub {
        EventHub::new(unreachable_store().await, Duration::from_millis(10))
    }

    #[tokio::test]
    async fn only_listeners_of_a_changed_submission_are_notified() {
        let hub = hub().await;
        let (one, other) = (SubmissionId::new(), SubmissionId::new());
        let (mut a, mut b, mut c) = (hub.listen(one), hub.listen(one), hub.listen(other));
        hub.0.wake([one].into_iter());
        assert!(a.changed().now_or_never().is_some());
        assert!(b.changed().now_or_never().is_some());
        assert!(c.changed().now_or_never().is_none());
        assert!(a.changed().now_or_never().is_none(), "this change has already been reported");
    }

    #[tokio::test]
    async fn a_listener_is_notified_of_changes_that_happen_before_it_waits() {
        let hub = hub().await;
        let submission = SubmissionId::new();
        let mut listener = hub.listen(submission);
        hub.0.wake([submission].into_iter());
        hub.0.wake([submission].into_iter());
        assert!(listener.changed().now_or_never().is_some());
    }

    #[tokio::test]
    async fn dropped_listeners_are_removed() {
        let hub = hub().await;
        let submission = SubmissionId::new();
        let (first, second) = (hub.listen(submission), hub.listen(submission));
        drop(first);
        assert_eq!(hub.submission_count(), 1);
        drop(second);
        assert_eq!(hub.submission_count(), 0);
        assert!(hub.0.stop_if_idle());
        assert!(!hub.0.lock().is_polling);
    }
}

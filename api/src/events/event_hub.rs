//! One tail of the events table per process, however many listen. It runs only while somebody does,
//! and wakes the listeners of the submissions that something happened to. Listeners read for
//! themselves, so it does not matter which replica or worker wrote, and a slow reader holds nothing up.
//! Who listens to all submissions gets what the tail read: reading it once more each would be the same.

use crate::events::cursor::Cursor;
use diagflow_store::{EventRow, Store, StoreResult, SubmissionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Most rows of one look at the table.
const BATCH: i64 = 1000;
/// How long the tail rests after the database did not answer.
const DATABASE_RETRY: Duration = Duration::from_secs(1);
/// Looks at the table that a listener to all may be behind before it has to read for itself.
const BUFFERED_BATCHES: usize = 64;

/// See the head of this file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventHub(Arc<Shared>);

struct Shared {
    store: Store,
    poll: Duration,
    listeners: Mutex<Listeners>,
    /// What each look found.
    batches: broadcast::Sender<Arc<[EventRow]>>,
}

#[derive(Default)]
struct Listeners {
    by_submission: HashMap<SubmissionId, watch::Sender<()>>,
    is_polling: bool,
}

impl EventHub {
    /// A hub that looks at the table every `poll`.
    pub(crate) fn new(store: Store, poll: Duration) -> Self {
        let batches = broadcast::Sender::new(BUFFERED_BATCHES);
        Self(Arc::new(Shared { store, poll, listeners: Mutex::default(), batches }))
    }

    /// Listens to one submission. Whoever listens reads *after* this call, so that whatever happens
    /// after the reading wakes it.
    pub(crate) fn listen(&self, submission: SubmissionId) -> Listener {
        let mut listeners = self.0.lock();
        let sender =
            listeners.by_submission.entry(submission).or_insert_with(|| watch::channel(()).0);
        let wakes = sender.subscribe();
        self.0.ensure_polling(&mut listeners);
        Listener { hub: self.clone(), submission, wakes: Some(wakes) }
    }

    /// Listens to all submissions. Whoever listens reads *after* this call what it wants of the past.
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
    /// A panic elsewhere leaves the map as good as it was.
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

    /// Whether the tail may go home: decided under the lock under which listeners arrive.
    fn stop_if_idle(&self) -> bool {
        let mut listeners = self.lock();
        let is_idle = listeners.by_submission.is_empty() && self.batches.receiver_count() == 0;
        if is_idle {
            listeners.is_polling = false;
        }
        is_idle
    }
}

/// Somebody who listens to one submission.
pub(crate) struct Listener {
    hub: EventHub,
    submission: SubmissionId,
    /// Taken out only when dropped.
    wakes: Option<watch::Receiver<()>>,
}

impl Listener {
    /// Waits until something happened to the submission since the last call.
    pub(crate) async fn changed(&mut self) {
        let alive = match &mut self.wakes {
            Some(wakes) => wakes.changed().await.is_ok(),
            None => false,
        };
        if !alive {
            // Cannot happen while this listener exists; waiting is right then, spinning is not.
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

/// Somebody who listens to all submissions.
pub(crate) struct AllEventsListener(broadcast::Receiver<Arc<[EventRow]>>);

impl AllEventsListener {
    /// Waits for what the tail finds next; `None` when this listener was too slow, and has missed some.
    pub(crate) async fn next(&mut self) -> Option<Arc<[EventRow]>> {
        match self.0.recv().await {
            Ok(changes) => Some(changes),
            Err(RecvError::Lagged(_)) => None,
            // Cannot happen while the hub exists; waiting is right then, spinning is not.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Follows the table while anybody listens.
async fn poll_events(shared: Arc<Shared>) {
    let mut cursor = None;
    let mut is_failing = false;
    while !shared.stop_if_idle() {
        let polled = poll_once(&shared, &mut cursor).await;
        // Told once, not with every try: an outage would fill the log.
        match &polled {
            Err(error) if !is_failing => {
                tracing::warn!(error = error.kind(), "cannot follow the events, trying again");
            }
            Ok(_) if is_failing => tracing::info!("following the events again"),
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

/// Looks at the table once; says whether there was more than one look could take in.
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
        // It does not matter when nobody gets it.
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
        assert!(a.changed().now_or_never().is_none(), "it has heard that already");
    }

    #[tokio::test]
    async fn changes_during_a_read_notify_the_listener_afterwards() {
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

//! One tail of the events table per process, however many listen. It runs only while somebody does,
//! and wakes the listeners of the submissions that something happened to. Listeners read for
//! themselves, so it does not matter which replica or worker wrote, and a slow reader holds nothing up.
//! Who listens to all submissions gets what the tail read: reading it once more each would be the same.

use crate::error::kind;
use crate::events::cursor::Cursor;
use diagflow_store::{Change, Store, StoreResult, SubmissionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Most rows of one look at the table.
const BATCH: i64 = 1000;
/// How long the tail rests after the database did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks at the table that a listener to all may be behind before it has to read for itself.
const LOOKS_KEPT: usize = 64;

/// See the head of this file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    store: Store,
    poll: Duration,
    listening: Mutex<Listening>,
    /// What each look found.
    looks: broadcast::Sender<Arc<[Change]>>,
}

#[derive(Default)]
struct Listening {
    to: HashMap<SubmissionId, watch::Sender<()>>,
    tail_runs: bool,
}

impl Hub {
    /// A hub that looks at the table every `poll`.
    pub(crate) fn new(store: Store, poll: Duration) -> Self {
        let looks = broadcast::Sender::new(LOOKS_KEPT);
        Self(Arc::new(Shared { store, poll, listening: Mutex::default(), looks }))
    }

    /// Listens to one submission. Whoever listens reads *after* this call, so that whatever happens
    /// after the reading wakes it.
    pub(crate) fn listen(&self, submission: SubmissionId) -> Listener {
        let mut listening = self.0.lock();
        let sender = listening.to.entry(submission).or_insert_with(|| watch::channel(()).0);
        let wakes = sender.subscribe();
        self.0.run_tail(&mut listening);
        Listener { hub: self.clone(), submission, wakes: Some(wakes) }
    }

    /// Listens to all submissions. Whoever listens reads *after* this call what it wants of the past.
    pub(crate) fn listen_to_all(&self) -> ListenerToAll {
        let mut listening = self.0.lock();
        let looks = self.0.looks.subscribe();
        self.0.run_tail(&mut listening);
        ListenerToAll(looks)
    }

    #[cfg(test)]
    fn submissions_listened_to(&self) -> usize {
        self.0.lock().to.len()
    }
}

impl Shared {
    /// A panic elsewhere leaves the map as good as it was.
    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_tail(self: &Arc<Self>, listening: &mut Listening) {
        if !listening.tail_runs {
            listening.tail_runs = true;
            tokio::spawn(tail(self.clone()));
        }
    }

    fn wake(&self, touched: impl Iterator<Item = SubmissionId>) {
        let listening = self.lock();
        for submission in touched {
            if let Some(sender) = listening.to.get(&submission) {
                sender.send_replace(());
            }
        }
    }

    /// Whether the tail may go home: decided under the lock under which listeners arrive.
    fn nobody_listens(&self) -> bool {
        let mut listening = self.lock();
        let nobody = listening.to.is_empty() && self.looks.receiver_count() == 0;
        if nobody {
            listening.tail_runs = false;
        }
        nobody
    }
}

/// Somebody who listens to one submission.
pub(crate) struct Listener {
    hub: Hub,
    submission: SubmissionId,
    /// Taken out only when dropped.
    wakes: Option<watch::Receiver<()>>,
}

impl Listener {
    /// Waits until something happened to the submission since the last call.
    pub(crate) async fn woken(&mut self) {
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
        let mut listening = self.hub.0.lock();
        self.wakes = None;
        let last = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        if listening.to.get(&self.submission).is_some_and(last) {
            listening.to.remove(&self.submission);
        }
    }
}

/// Somebody who listens to all submissions.
pub(crate) struct ListenerToAll(broadcast::Receiver<Arc<[Change]>>);

impl ListenerToAll {
    /// Waits for what the tail finds next; `None` when this listener was too slow, and has missed some.
    pub(crate) async fn next(&mut self) -> Option<Arc<[Change]>> {
        match self.0.recv().await {
            Ok(changes) => Some(changes),
            Err(RecvError::Lagged(_)) => None,
            // Cannot happen while the hub exists; waiting is right then, spinning is not.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Follows the table while anybody listens.
async fn tail(shared: Arc<Shared>) {
    let mut cursor = None;
    let mut is_cut_off = false;
    while !shared.nobody_listens() {
        let seen = look(&shared, &mut cursor).await;
        // Told once, not with every try: an outage would fill the log.
        match &seen {
            Err(error) if !is_cut_off => {
                tracing::warn!(error = kind(error), "cannot follow the events, trying again");
            }
            Ok(_) if is_cut_off => tracing::info!("following the events again"),
            _ => {}
        }
        is_cut_off = seen.is_err();
        let pause = match seen {
            Ok(true) => Duration::ZERO,
            Ok(false) => shared.poll,
            Err(_) => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Looks at the table once; says whether there was more than one look could take in.
async fn look(shared: &Shared, cursor: &mut Option<Cursor>) -> StoreResult<bool> {
    let cursor = match cursor {
        Some(cursor) => cursor,
        none => none.insert(Cursor::behind(shared.store.newest_event_row().await?)),
    };
    let rows = shared.store.event_rows(cursor.position(), &cursor.holes(), BATCH).await?;
    cursor.advance(rows.iter().map(|change| change.row), Instant::now());
    let more = rows.len() as i64 >= BATCH;
    shared.wake(rows.iter().map(|change| change.submission_id));
    if !rows.is_empty() {
        // It does not matter when nobody gets it.
        let _ = shared.looks.send(rows.into());
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unreachable_store;
    use futures::FutureExt;

    async fn hub() -> Hub {
        Hub::new(unreachable_store().await, Duration::from_millis(10))
    }

    #[tokio::test]
    async fn only_the_listeners_of_a_touched_submission_wake() {
        let hub = hub().await;
        let (one, other) = (SubmissionId::new(), SubmissionId::new());
        let (mut a, mut b, mut c) = (hub.listen(one), hub.listen(one), hub.listen(other));
        hub.0.wake([one].into_iter());
        assert!(a.woken().now_or_never().is_some());
        assert!(b.woken().now_or_never().is_some());
        assert!(c.woken().now_or_never().is_none());
        assert!(a.woken().now_or_never().is_none(), "it has heard that already");
    }

    #[tokio::test]
    async fn what_happens_while_a_listener_reads_wakes_it_afterwards() {
        let hub = hub().await;
        let submission = SubmissionId::new();
        let mut listener = hub.listen(submission);
        hub.0.wake([submission].into_iter());
        hub.0.wake([submission].into_iter());
        assert!(listener.woken().now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_listeners_that_went() {
        let hub = hub().await;
        let submission = SubmissionId::new();
        let (first, second) = (hub.listen(submission), hub.listen(submission));
        drop(first);
        assert_eq!(hub.submissions_listened_to(), 1);
        drop(second);
        assert_eq!(hub.submissions_listened_to(), 0);
        assert!(hub.0.nobody_listens());
        assert!(!hub.0.lock().tail_runs);
    }
}

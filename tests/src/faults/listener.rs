//! Listeners, which follow the event stream of a submission to its end.

use crate::client::{AcceptedSubmission, ApiClient};
use crate::sse::SseStream;
use futures::StreamExt;
use reqwest::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// One event as a listener heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedEvent {
    /// Its number.
    pub(crate) number: i64,
    /// The state that it told.
    pub(crate) status: String,
    /// What happened.
    pub(crate) step: String,
}

/// Somebody who follows a submission, and comes back whenever the stream breaks.
pub(crate) struct Listener {
    /// Whom it follows.
    pub(crate) submission_id: String,
    received: Arc<Mutex<Vec<ReceivedEvent>>>,
    refused: Arc<Mutex<Vec<StatusCode>>>,
    following: JoinHandle<()>,
}

/// Pause before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Begins to follow a submission from its first event.
    pub(crate) fn follow(client: ApiClient, submission: AcceptedSubmission) -> Listener {
        let received = Arc::new(Mutex::new(Vec::new()));
        let submission_id = submission.submission_id.clone();
        let refused = Arc::<Mutex<_>>::default();
        let following = follow(client, submission, received.clone(), refused.clone());
        Listener { submission_id, received, refused, following: tokio::spawn(following) }
    }

    /// Whether it was told that nothing follows.
    pub(crate) fn is_done(&self) -> bool {
        self.following.is_finished()
    }

    /// What it heard so far, in that order.
    pub(crate) fn received(&self) -> Vec<ReceivedEvent> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers at which a browser would have given up.
    pub(crate) fn refused(&self) -> Vec<StatusCode> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Follows until the API says that nothing follows (204).
async fn follow(
    client: ApiClient,
    submission: AcceptedSubmission,
    received: Arc<Mutex<Vec<ReceivedEvent>>>,
    refused: Arc<Mutex<Vec<StatusCode>>>,
) {
    let received = || received.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let last = received().last().map(|event| event.number.to_string());
        match client.open_events(&submission, last.as_deref()).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return,
            Ok(answer) if answer.status() == StatusCode::OK => {
                let mut events = SseStream::new(answer).into_events();
                while let Some(event) = events.next().await {
                    let text =
                        |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
                    let (status, step) = (text("status"), text("step"));
                    received().push(ReceivedEvent { number: event.id, status, step });
                }
            }
            // Asked to come again, or not heard at all.
            Ok(answer) if answer.headers().contains_key("retry-after") => {}
            Err(_) => {}
            Ok(answer) => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(answer.status());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

//! Clients that follow a submission's event stream until it ends.

use crate::client::{AcceptedSubmission, ApiClient};
use crate::sse::SseStream;
use futures::StreamExt;
use reqwest::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedEvent {
    pub(crate) number: i64,
    pub(crate) status: String,
    pub(crate) step: String,
}

/// A client that follows an event stream and reconnects when the connection is lost.
pub(crate) struct Listener {
    pub(crate) submission_id: String,
    received: Arc<Mutex<Vec<ReceivedEvent>>>,
    refused: Arc<Mutex<Vec<StatusCode>>>,
    following: JoinHandle<()>,
}

const PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    pub(crate) fn follow(client: ApiClient, submission: AcceptedSubmission) -> Listener {
        let received = Arc::new(Mutex::new(Vec::new()));
        let submission_id = submission.submission_id.clone();
        let refused = Arc::<Mutex<_>>::default();
        let following = follow(client, submission, received.clone(), refused.clone());
        Listener { submission_id, received, refused, following: tokio::spawn(following) }
    }

    /// Whether the API has indicated that there are no further events.
    pub(crate) fn is_done(&self) -> bool {
        self.following.is_finished()
    }

    pub(crate) fn received(&self) -> Vec<ReceivedEvent> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the statuses of any responses that would stop a browser from reconnecting.
    pub(crate) fn refused(&self) -> Vec<StatusCode> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Follows the stream until the API responds with 204 (no further events) or 410 (the submission was erased).
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
            Ok(response) if response.status() == StatusCode::NO_CONTENT => return,
            Ok(response) if response.status() == StatusCode::OK => {
                let mut events = SseStream::new(response).into_events();
                while let Some(event) = events.next().await {
                    let text =
                        |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
                    let (status, step) = (text("status"), text("step"));
                    received().push(ReceivedEvent { number: event.id, status, step });
                }
            }
            // The client reconnects because the API requested a retry or the connection was lost.
            Ok(response) if response.headers().contains_key("retry-after") => {}
            Err(_) => {}
            Ok(response) if response.status() == StatusCode::GONE => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(response.status());
                return;
            }
            Ok(response) => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(response.status());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

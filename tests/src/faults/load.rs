//! Simulated patients. Each patient sends a submission, polls its status, follows its event stream, and then sends the
//! next submission. Failed requests are retried the way a client would retry them.

use super::listener::Listener;
use crate::client::{AcceptedSubmission, ApiClient};
use crate::photos;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause before a retry and between status polls.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a patient follows an unfinished submission before sending the next one. A shorter time would overload a
/// debug build. A longer one would mean that no submissions are sent during a fault.
const WATCH_TIME: Duration = Duration::from_secs(2);

pub(crate) struct Load {
    stop: CancellationToken,
    patients: Vec<JoinHandle<Vec<FollowedSubmission>>>,
    counts: Arc<LoadCounts>,
}

pub(crate) struct FollowedSubmission {
    pub(crate) accepted: AcceptedSubmission,
    pub(crate) email: String,
    pub(crate) listener: Listener,
}

#[derive(Debug, Default)]
pub(super) struct LoadCounts {
    accepted: AtomicUsize,
    repeated: AtomicUsize,
    /// Number of 503 responses with `Retry-After`.
    deferred: AtomicUsize,
    stream_clients: Mutex<Vec<ApiClient>>,
}

impl Load {
    /// Starts the patients. Each patient uses the API processes in rotation.
    pub(crate) fn start(patients: usize, apis: &[ApiClient]) -> Load {
        let (stop, counts) = (CancellationToken::new(), Arc::<LoadCounts>::default());
        let patient = |_| tokio::spawn(run_patient(apis.to_vec(), stop.clone(), counts.clone()));
        Load { patients: (0..patients).map(patient).collect(), stop, counts }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn repeated(&self) -> usize {
        self.counts.repeated.load(Ordering::Relaxed)
    }

    pub(crate) fn deferred(&self) -> usize {
        self.counts.deferred.load(Ordering::Relaxed)
    }

    /// Returns how many streams were interrupted before they ended and were then reopened.
    pub(crate) fn resumed(&self) -> usize {
        let stream_clients =
            self.counts.stream_clients.lock().unwrap_or_else(PoisonError::into_inner);
        stream_clients
            .iter()
            .map(|stream_client| stream_client.streams_opened().saturating_sub(1))
            .sum()
    }

    pub(crate) async fn wait_for_accepted(&self, count: usize) {
        let until = self.accepted() + count;
        crate::eventually("submissions to be accepted", || async {
            (self.accepted() >= until).then_some(())
        })
        .await;
    }

    /// Waits until each patient has finished the current submission, and returns all accepted submissions.
    ///
    /// # Panics
    ///
    /// Panics if any request failed in a way that a client would not retry.
    pub(crate) async fn stop(self) -> Vec<FollowedSubmission> {
        self.stop.cancel();
        let mut all = Vec::new();
        for patient in self.patients {
            all.extend(patient.await.expect("clients can retry every failure"));
        }
        all
    }
}

async fn run_patient(
    mut apis: Vec<ApiClient>,
    stop: CancellationToken,
    counts: Arc<LoadCounts>,
) -> Vec<FollowedSubmission> {
    let mut all = Vec::new();
    let api = ApiClient::round_robin(&apis);
    while !stop.is_cancelled() {
        let key = Uuid::new_v4().to_string();
        let email = format!("{key}@example.org");
        let body = ApiClient::submission_body(&email, "", &[photos::cat()]);
        let accepted = loop {
            let response = api.post(&body, Some(&key)).await;
            if let Some(accepted) = accepted_or_retry(response, &counts).await {
                break accepted;
            }
            counts.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        };
        // The rotation spreads the listeners across all API processes.
        apis.rotate_left(1);
        let stream_client = ApiClient::round_robin(&apis);
        counts
            .stream_clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream_client.clone());
        let listener = Listener::follow(stream_client, accepted.clone());
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        loop {
            poll_status(&api, &accepted, &counts).await;
            if listener.is_done() || started.elapsed() >= WATCH_TIME || stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        all.push(FollowedSubmission { accepted, email, listener });
    }
    all
}

/// Polls the status. Failures that a client would retry are ignored because the next poll acts as the retry.
async fn poll_status(api: &ApiClient, submission: &AcceptedSubmission, counts: &LoadCounts) {
    let response = api.get_status(submission).await;
    match success_or_retry(response, StatusCode::OK, counts).await {
        Some(document) => assert_eq!(document["submission_id"], submission.submission_id.as_str()),
        None => _ = counts.repeated.fetch_add(1, Ordering::Relaxed),
    }
}

/// Returns the accepted submission, or `None` if a client would retry the request.
pub(super) async fn accepted_or_retry(
    response: reqwest::Result<Response>,
    counts: &LoadCounts,
) -> Option<AcceptedSubmission> {
    let body = success_or_retry(response, StatusCode::ACCEPTED, counts).await?;
    Some(serde_json::from_value(body).expect("a submission"))
}

/// Returns the body of a successful response, or `None` if a client would retry the request.
///
/// # Panics
///
/// Panics on any other response.
async fn success_or_retry(
    response: reqwest::Result<Response>,
    expected: StatusCode,
    counts: &LoadCounts,
) -> Option<Value> {
    // An error means that the connection was lost. A client can safely repeat reads and requests that have an
    // idempotency key.
    let response = response.ok()?;
    let (status, has_retry_after) =
        (response.status(), response.headers().contains_key("retry-after"));
    let text = response.text().await.ok()?;
    match status {
        status if status == expected => Some(serde_json::from_str(&text).expect("JSON")),
        StatusCode::SERVICE_UNAVAILABLE if has_retry_after => {
            counts.deferred.fetch_add(1, Ordering::Relaxed);
            None
        }
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS if has_retry_after => None,
        other => panic!("{other}: {text}"),
    }
}

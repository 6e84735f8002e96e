//! Patients who submit one after the other, look where each submission stands, repeat what a client would
//! repeat, and have each submission followed from the moment that it is accepted.

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

/// Pause before a repeat, for whoever is not told another.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a patient looks on before the next submission: to its end, or for so long. Otherwise more would be
/// submitted than a debug build can do, and in a fault nobody would submit.
const WATCH_TIME: Duration = Duration::from_secs(2);

/// Patients at work until they are told to stop.
pub(crate) struct Load {
    stop: CancellationToken,
    patients: Vec<JoinHandle<Vec<FollowedSubmission>>>,
    counts: Arc<LoadCounts>,
}

/// A submission that was accepted.
pub(crate) struct FollowedSubmission {
    /// The answer.
    pub(crate) accepted: AcceptedSubmission,
    /// Whose it is.
    pub(crate) email: String,
    /// Who follows it.
    pub(crate) listener: Listener,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct LoadCounts {
    accepted: AtomicUsize,
    repeated: AtomicUsize,
    /// Repeats that the API asked for by 503 with `Retry-After`.
    deferred: AtomicUsize,
    /// What each listener asks with.
    stream_clients: Mutex<Vec<ApiClient>>,
}

impl Load {
    /// As many patients as asked for, each of whom tries these APIs in turn.
    pub(crate) fn start(patients: usize, apis: &[ApiClient]) -> Load {
        let (stop, counts) = (CancellationToken::new(), Arc::<LoadCounts>::default());
        let patient = |_| tokio::spawn(run_patient(apis.to_vec(), stop.clone(), counts.clone()));
        Load { patients: (0..patients).map(patient).collect(), stop, counts }
    }

    /// How many submissions were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// How many attempts had to be repeated so far.
    pub(crate) fn repeated(&self) -> usize {
        self.counts.repeated.load(Ordering::Relaxed)
    }

    /// How many of them because the API asked for it.
    pub(crate) fn deferred(&self) -> usize {
        self.counts.deferred.load(Ordering::Relaxed)
    }

    /// How many streams broke off before their end, and were opened again.
    pub(crate) fn resumed(&self) -> usize {
        let stream_clients =
            self.counts.stream_clients.lock().unwrap_or_else(PoisonError::into_inner);
        stream_clients
            .iter()
            .map(|stream_client| stream_client.streams_opened().saturating_sub(1))
            .sum()
    }

    /// Waits until `count` more submissions were accepted.
    pub(crate) async fn wait_for_accepted(&self, count: usize) {
        let until = self.accepted() + count;
        crate::eventually("submissions to be accepted", || async {
            (self.accepted() >= until).then_some(())
        })
        .await;
    }

    /// Stops; each finishes the submission that is under way. Returns what was accepted.
    ///
    /// # Panics
    /// When a request failed in a way that no client would repeat.
    pub(crate) async fn stop(self) -> Vec<FollowedSubmission> {
        self.stop.cancel();
        let mut all = Vec::new();
        for patient in self.patients {
            all.extend(patient.await.expect("every failure is one that a client repeats"));
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
            let answer = api.post(&body, Some(&key)).await;
            if let Some(accepted) = accepted_or_retry(answer, &counts).await {
                break accepted;
            }
            counts.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        };
        // So that each API has listeners.
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

/// Looks where a submission stands. What a client would repeat is left to the next look.
///
/// # Panics
/// When the answer is of another submission.
async fn poll_status(api: &ApiClient, submission: &AcceptedSubmission, counts: &LoadCounts) {
    let answer = api.get_status(submission).await;
    match success_or_retry(answer, StatusCode::OK, counts).await {
        Some(document) => assert_eq!(document["submission_id"], submission.submission_id.as_str()),
        None => _ = counts.repeated.fetch_add(1, Ordering::Relaxed),
    }
}

/// The submission; none where a client repeats the request.
pub(super) async fn accepted_or_retry(
    answer: reqwest::Result<Response>,
    counts: &LoadCounts,
) -> Option<AcceptedSubmission> {
    let body = success_or_retry(answer, StatusCode::ACCEPTED, counts).await?;
    Some(serde_json::from_value(body).expect("a submission"))
}

/// The body of the answer that is hoped for; none where a client repeats the request.
///
/// # Panics
/// At any other answer.
async fn success_or_retry(
    answer: reqwest::Result<Response>,
    expected: StatusCode,
    counts: &LoadCounts,
) -> Option<Value> {
    // A connection that broke: a question, or a request with its key, can be repeated.
    let answer = answer.ok()?;
    let (status, has_retry_after) = (answer.status(), answer.headers().contains_key("retry-after"));
    let text = answer.text().await.ok()?;
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

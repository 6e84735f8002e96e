//! Patients who submit one after the other, look where each submission stands, repeat what a client would
//! repeat, and have each submission followed from the moment that it is accepted.

use super::ledger::Listener;
use crate::client::{Accepted, ApiClient};
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
const LOOKS_ON: Duration = Duration::from_secs(2);

/// Patients at work until they are told to stop.
pub(crate) struct Load {
    stop: CancellationToken,
    patients: Vec<JoinHandle<Vec<Followed>>>,
    counts: Arc<Counts>,
}

/// A submission that was accepted.
pub(crate) struct Followed {
    /// The answer.
    pub(crate) accepted: Accepted,
    /// Whose it is.
    pub(crate) email: String,
    /// Who follows it.
    pub(crate) listener: Listener,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    accepted: AtomicUsize,
    repeated: AtomicUsize,
    /// Repeats that the API asked for by 503 with `Retry-After`.
    put_off: AtomicUsize,
    /// What each listener asks with.
    ears: Mutex<Vec<ApiClient>>,
}

impl Load {
    /// As many patients as asked for, each of whom tries these APIs in turn.
    pub(crate) fn of(patients: usize, apis: &[ApiClient]) -> Load {
        let (stop, counts) = (CancellationToken::new(), Arc::<Counts>::default());
        let patient = |_| tokio::spawn(submit(apis.to_vec(), stop.clone(), counts.clone()));
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
    pub(crate) fn put_off(&self) -> usize {
        self.counts.put_off.load(Ordering::Relaxed)
    }

    /// How many streams broke off before their end, and were opened again.
    pub(crate) fn resumed(&self) -> usize {
        let ears = self.counts.ears.lock().unwrap_or_else(PoisonError::into_inner);
        ears.iter().map(|ear| ear.streams().saturating_sub(1)).sum()
    }

    /// Waits until `count` more submissions were accepted.
    pub(crate) async fn goes_on(&self, count: usize) {
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
    pub(crate) async fn stop(self) -> Vec<Followed> {
        self.stop.cancel();
        let mut all = Vec::new();
        for patient in self.patients {
            all.extend(patient.await.expect("every failure is one that a client repeats"));
        }
        all
    }
}

async fn submit(
    mut apis: Vec<ApiClient>,
    stop: CancellationToken,
    counts: Arc<Counts>,
) -> Vec<Followed> {
    let mut all = Vec::new();
    let api = ApiClient::in_turn(&apis);
    while !stop.is_cancelled() {
        let key = Uuid::new_v4().to_string();
        let email = format!("{key}@example.org");
        let body = ApiClient::body(&email, "", &[photos::cat()]);
        let accepted = loop {
            let answer = api.post(&body, Some(&key)).await;
            if let Some(accepted) = accepted_or_to_be_repeated(answer, &counts).await {
                break accepted;
            }
            counts.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        };
        // So that each API has listeners.
        apis.rotate_left(1);
        let ear = ApiClient::in_turn(&apis);
        counts.ears.lock().unwrap_or_else(PoisonError::into_inner).push(ear.clone());
        let listener = Listener::follow(ear, accepted.clone());
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        loop {
            look_at(&api, &accepted, &counts).await;
            if listener.is_done() || begun.elapsed() >= LOOKS_ON || stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        all.push(Followed { accepted, email, listener });
    }
    all
}

/// Looks where a submission stands. What a client would repeat is left to the next look.
///
/// # Panics
/// When the answer is of another submission.
async fn look_at(api: &ApiClient, submission: &Accepted, counts: &Counts) {
    let answer = api.ask_status(submission).await;
    match answered_or_to_be_repeated(answer, StatusCode::OK, counts).await {
        Some(document) => assert_eq!(document["submission_id"], submission.submission_id.as_str()),
        None => _ = counts.repeated.fetch_add(1, Ordering::Relaxed),
    }
}

/// The submission; none where a client repeats the request.
pub(super) async fn accepted_or_to_be_repeated(
    answer: reqwest::Result<Response>,
    counts: &Counts,
) -> Option<Accepted> {
    let body = answered_or_to_be_repeated(answer, StatusCode::ACCEPTED, counts).await?;
    Some(serde_json::from_value(body).expect("a submission"))
}

/// The body of the answer that is hoped for; none where a client repeats the request.
///
/// # Panics
/// At any other answer.
async fn answered_or_to_be_repeated(
    answer: reqwest::Result<Response>,
    hoped_for: StatusCode,
    counts: &Counts,
) -> Option<Value> {
    // A connection that broke: a question, or a request with its key, can be repeated.
    let answer = answer.ok()?;
    let (status, asks) = (answer.status(), answer.headers().contains_key("retry-after"));
    let text = answer.text().await.ok()?;
    match status {
        status if status == hoped_for => Some(serde_json::from_str(&text).expect("JSON")),
        StatusCode::SERVICE_UNAVAILABLE if asks => {
            counts.put_off.fetch_add(1, Ordering::Relaxed);
            None
        }
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS if asks => None,
        other => panic!("{other}: {text}"),
    }
}

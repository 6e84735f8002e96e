//! Patients who submit one after the other, and repeat what a client would repeat.

use crate::client::{Accepted, ApiClient};
use crate::photos;
use reqwest::{Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause before a repeat, for whoever is not told another.
const PAUSE: Duration = Duration::from_millis(100);

/// Patients at work until they are told to stop.
pub(crate) struct Load {
    stop: CancellationToken,
    patients: Vec<JoinHandle<Vec<(Accepted, String)>>>,
    counts: Arc<Counts>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    accepted: AtomicUsize,
    repeated: AtomicUsize,
    /// Repeats that the API asked for by 503 with `Retry-After`.
    put_off: AtomicUsize,
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

    /// Waits until `count` more submissions were accepted.
    pub(crate) async fn goes_on(&self, count: usize) {
        let until = self.accepted() + count;
        crate::eventually("submissions to be accepted", || async {
            (self.accepted() >= until).then_some(())
        })
        .await;
    }

    /// Stops; each finishes the submission that is under way. Returns what was accepted, and for whom.
    ///
    /// # Panics
    /// When a request failed in a way that no client would repeat.
    pub(crate) async fn stop(self) -> Vec<(Accepted, String)> {
        self.stop.cancel();
        let mut all = Vec::new();
        for patient in self.patients {
            all.extend(patient.await.expect("every failure is one that a client repeats"));
        }
        all
    }
}

async fn submit(
    apis: Vec<ApiClient>,
    stop: CancellationToken,
    counts: Arc<Counts>,
) -> Vec<(Accepted, String)> {
    let mut all = Vec::new();
    let mut turn = 0;
    while !stop.is_cancelled() {
        let key = Uuid::new_v4().to_string();
        let email = format!("{key}@example.org");
        let body = ApiClient::body(&email, "", &[photos::cat()]);
        let accepted = loop {
            let answer = apis[turn % apis.len()].post(&body, Some(&key)).await;
            if let Some(accepted) = accepted_or_to_be_repeated(answer, &counts).await {
                break accepted;
            }
            turn += 1;
            counts.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        };
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        all.push((accepted, email));
    }
    all
}

/// The submission; none where a client repeats the request.
pub(super) async fn accepted_or_to_be_repeated(
    answer: reqwest::Result<Response>,
    counts: &Counts,
) -> Option<Accepted> {
    // A connection that broke: with its key, the request can be repeated.
    let answer = answer.ok()?;
    let (status, asks) = (answer.status(), answer.headers().contains_key("retry-after"));
    let text = answer.text().await.ok()?;
    match status {
        StatusCode::ACCEPTED => serde_json::from_str(&text).ok(),
        StatusCode::SERVICE_UNAVAILABLE if asks => {
            counts.put_off.fetch_add(1, Ordering::Relaxed);
            None
        }
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS if asks => None,
        other => panic!("{other}: {text}"),
    }
}

//! Patients and staff of a long run: all of them at once, and beside the faults, so that requests are under way
//! when something dies.

use crate::client::{Accepted, ApiClient};
use crate::faults::ledger::{Acknowledged, End, Listener};
use crate::faults::load::{Counts, accepted_or_to_be_repeated};
use crate::photos;
use crate::staff::Staff;
use fastrand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Patients, who each pause so many milliseconds after a submission: together about two a second, a load that
/// two cores carry beside the faults.
const PATIENTS: u32 = 4;
const PATIENTS_PAUSE: std::ops::Range<u64> = 1000..3000;
/// Members of staff, and the milliseconds between two presses of one.
const STAFF: u32 = 2;
const STAFF_PAUSE: std::ops::Range<u64> = 2000..8000;
/// Pause before a request is repeated.
const REPEAT: Duration = Duration::from_millis(100);
/// The submissions that staff choose from: the newest.
const REMEMBERED: usize = 200;

/// What patients' submissions meet at LoopAI, and whether that fails them.
const SCRIPTS: [(&str, Option<End>); 8] = [
    ("", None),
    ("", None),
    ("[sim: delay=2s]", None),
    ("[sim: fail*1, delay=100ms]", Some(End::failed("loopai_failed"))),
    ("[sim: diagnose=500*1, delay=100ms]", None),
    ("[sim: status=503*2, delay=100ms]", None),
    ("[sim: diagnose=accept+reset*1, delay=100ms]", None),
    ("[sim: status=html*1, status=truncated*1, delay=300ms]", None),
];

/// What they were told.
pub(super) enum News {
    /// A patient got a 202, and listens.
    Accepted(Box<Acknowledged>, Listener),
    /// Staff pressed, and were told that it is done; or not told anything, so that it may be.
    Pressed { submission: Accepted, verb: Verb, is_acknowledged: bool },
}

/// What staff press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Cancel,
    Retry,
}

/// All of them, until they are told to go.
pub(super) struct People {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    client: ApiClient,
    news: UnboundedSender<News>,
    stop: CancellationToken,
    newest: Arc<Mutex<VecDeque<Accepted>>>,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Verb::Cancel => "cancel",
            Verb::Retry => "retry",
        }
    }

    /// Its name in the audit.
    pub(super) fn action(self) -> &'static str {
        match self {
            Verb::Cancel => "submission_cancel",
            Verb::Retry => "submission_retry",
        }
    }
}

impl People {
    /// Sends them to work. Each draws from a seed of its own.
    pub(super) fn at_work(
        rng: &mut Rng,
        client: &ApiClient,
        staff: &Staff,
        news: UnboundedSender<News>,
    ) -> People {
        let stop = CancellationToken::new();
        let newest = Arc::default();
        let shared = Shared { client: client.clone(), news, stop: stop.clone(), newest };
        let mut tasks = Vec::new();
        for number in 0..PATIENTS {
            tasks.push(tokio::spawn(patient(number, rng.fork(), shared.clone())));
        }
        for _ in 0..STAFF {
            tasks.push(tokio::spawn(member_of_staff(staff.clone(), rng.fork(), shared.clone())));
        }
        People { stop, tasks }
    }

    /// # Panics
    /// When somebody went: by an answer that no client would repeat.
    pub(super) fn assert_at_work(&self) {
        assert!(!self.tasks.iter().any(JoinHandle::is_finished), "somebody has gone");
    }

    /// Lets each finish what is under way.
    pub(super) async fn go_home(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("at work until now");
        }
    }
}

impl Shared {
    fn newest(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, accepted: Accepted) {
        let mut newest = self.newest();
        newest.push_back(accepted);
        if newest.len() > REMEMBERED {
            newest.pop_front();
        }
    }

    fn tell(&self, news: News) {
        // Whoever hears it ends after everybody who tells it.
        let _ = self.news.send(news);
    }

    async fn pause(&self, milliseconds: u64) {
        let pause = tokio::time::sleep(Duration::from_millis(milliseconds));
        let _ = self.stop.run_until_cancelled(pause).await;
    }
}

async fn patient(number: u32, mut rng: Rng, shared: Shared) {
    for turn in 0_u64.. {
        if shared.stop.is_cancelled() {
            return;
        }
        let (script, failure) = SCRIPTS[rng.usize(..SCRIPTS.len())];
        let (email, photo) =
            (format!("patient-{number}-{turn}@example.org"), photos::retina_of_its_own());
        let body = ApiClient::body(&email, script, std::slice::from_ref(&photo));
        let accepted = loop {
            let answer = shared.client.post(&body, Some(&email)).await;
            match accepted_or_to_be_repeated(answer, &Counts::default()).await {
                Some(accepted) => break accepted,
                None => tokio::time::sleep(REPEAT).await,
            }
        };
        let mut promised = Acknowledged::new(accepted.clone(), &email, script, &[photo]);
        promised.ends.extend(failure);
        let listener = Listener::follow(shared.client.clone(), accepted.clone());
        shared.tell(News::Accepted(Box::new(promised), listener));
        shared.remember(accepted);
        shared.pause(rng.u64(PATIENTS_PAUSE)).await;
    }
}

/// Presses something; whether it is done is up to how the submission stands.
async fn member_of_staff(staff: Staff, mut rng: Rng, shared: Shared) {
    loop {
        shared.pause(rng.u64(STAFF_PAUSE)).await;
        if shared.stop.is_cancelled() {
            return;
        }
        let verb = if rng.bool() { Verb::Cancel } else { Verb::Retry };
        let chosen = {
            let newest = shared.newest();
            (!newest.is_empty()).then(|| newest[rng.usize(..newest.len())].clone())
        };
        let Some(submission) = chosen else { continue };
        let path = format!("/api/admin/submissions/{}/{}", submission.submission_id, verb.path());
        let call = staff.request(Method::POST, &path).json(&json!({"reason": "a long run"}));
        let status = call.send().await.map(|answer| answer.status());
        let is_acknowledged = status.as_ref().is_ok_and(StatusCode::is_success);
        // Where the connection broke, or the API does not know, it may have been done.
        let is_refused = status.as_ref().is_ok_and(StatusCode::is_client_error);
        if !is_refused {
            shared.tell(News::Pressed { submission, verb, is_acknowledged });
        }
    }
}

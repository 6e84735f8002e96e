//! Simulated patients and staff. They send requests throughout the faults, so requests are in progress when a component
//! fails.

use crate::client::{AcceptedSubmission, ApiClient};
use crate::faults::acknowledged::{AcknowledgedSubmission, ExpectedEnd};
use crate::faults::listener::Listener;
use crate::faults::load::{LoadCounts, accepted_or_retry};
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

/// Number of patients. Together, they send about two submissions per second, which two cores can handle even during
/// faults.
const PATIENTS: u32 = 4;
/// How long a patient pauses after a submission, in milliseconds.
const PATIENTS_PAUSE: std::ops::Range<u64> = 1000..3000;
const STAFF: u32 = 2;
/// How long a staff member pauses between actions, in milliseconds.
const STAFF_PAUSE: std::ops::Range<u64> = 2000..8000;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Number of recent submissions from which staff choose the target of each action.
const RECENT_LIMIT: usize = 200;

/// LoopAI simulator scenarios, with the failures they cause.
const SCRIPTS: [(&str, Option<ExpectedEnd>); 9] = [
    ("", None),
    ("", None),
    ("[sim: delay=2s]", None),
    ("[sim: fail*1, delay=100ms]", Some(ExpectedEnd::failed("loopai_failed"))),
    ("[sim: diagnose=500*1, delay=100ms]", None),
    // Ten failures would end the submission, and a fault of LoopAI adds up to five.
    ("[sim: diagnose=500*4, delay=100ms]", None),
    ("[sim: status=503*2, delay=100ms]", None),
    ("[sim: diagnose=accept+reset*1, delay=100ms]", None),
    ("[sim: status=html*1, status=truncated*1, delay=300ms]", None),
];

/// LoopAI responds with 500 to every request for a submission with this script.
pub(super) const POISONED: &str = "[sim: diagnose=500]";
/// One in this many submissions is poisoned. About forty are open at a time because each is retried for 14 minutes.
const POISONED_RATIO: u32 = 40;

pub(super) enum UserEvent {
    SubmissionAccepted(Box<AcknowledgedSubmission>, Listener),
    /// Staff have sent an action. Without a response, it counts as unacknowledged, although it may have taken effect.
    ActionSent {
        submission: AcceptedSubmission,
        action: StaffAction,
        is_acknowledged: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StaffAction {
    Cancel,
    Retry,
}

pub(super) struct SimulatedUsers {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    client: ApiClient,
    events: UnboundedSender<UserEvent>,
    stop: CancellationToken,
    recent: Arc<Mutex<VecDeque<AcceptedSubmission>>>,
}

impl StaffAction {
    fn path(self) -> &'static str {
        match self {
            StaffAction::Cancel => "cancel",
            StaffAction::Retry => "retry",
        }
    }

    pub(super) fn audit_action(self) -> &'static str {
        match self {
            StaffAction::Cancel => "submission_cancel",
            StaffAction::Retry => "submission_retry",
        }
    }
}

impl SimulatedUsers {
    /// Starts all users. Each user has a separate seed.
    pub(super) fn start(
        rng: &mut Rng,
        client: &ApiClient,
        staff: &Staff,
        events: UnboundedSender<UserEvent>,
    ) -> SimulatedUsers {
        let stop = CancellationToken::new();
        let recent = Arc::default();
        let shared = Shared { client: client.clone(), events, stop: stop.clone(), recent };
        let mut tasks = Vec::new();
        for number in 0..PATIENTS {
            tasks.push(tokio::spawn(patient(number, rng.fork(), shared.clone())));
        }
        for _ in 0..STAFF {
            tasks.push(tokio::spawn(staff_member(staff.clone(), rng.fork(), shared.clone())));
        }
        SimulatedUsers { stop, tasks }
    }

    /// # Panics
    ///
    /// Panics if a user got a response that a client would not retry.
    pub(super) fn assert_running(&self) {
        assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a user has stopped");
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no user panics");
        }
    }
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, VecDeque<AcceptedSubmission>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, accepted: AcceptedSubmission) {
        let mut recent = self.recent();
        recent.push_back(accepted);
        if recent.len() > RECENT_LIMIT {
            recent.pop_front();
        }
    }

    fn send(&self, event: UserEvent) {
        // This cannot fail because the receiver outlives all senders.
        let _ = self.events.send(event);
    }

    async fn pause(&self, milliseconds: u64) {
        let pause = tokio::time::sleep(Duration::from_millis(milliseconds));
        let _ = self.stop.run_until_cancelled(pause).await;
    }
}

/// Returns a scenario and the ends it may lead to.
fn choose_script(rng: &mut Rng) -> (&'static str, Vec<ExpectedEnd>) {
    if rng.u32(..POISONED_RATIO) == 0 {
        return (POISONED, vec![ExpectedEnd::failed("loopai_repeated_failure")]);
    }
    let (script, failure) = SCRIPTS[rng.usize(..SCRIPTS.len())];
    (script, std::iter::once(ExpectedEnd::COMPLETED).chain(failure).collect())
}

async fn patient(number: u32, mut rng: Rng, shared: Shared) {
    for turn in 0_u64.. {
        if shared.stop.is_cancelled() {
            return;
        }
        let (script, allowed_ends) = choose_script(&mut rng);
        let (email, photo) =
            (format!("patient-{number}-{turn}@example.org"), photos::unique_retina());
        let body = ApiClient::submission_body(&email, script, std::slice::from_ref(&photo));
        let accepted = loop {
            let response = shared.client.post(&body, Some(&email)).await;
            match accepted_or_retry(response, &LoadCounts::default()).await {
                Some(accepted) => break accepted,
                None => tokio::time::sleep(RETRY_PAUSE).await,
            }
        };
        let mut acknowledged =
            AcknowledgedSubmission::new(accepted.clone(), &email, script, &[photo]);
        acknowledged.allowed_ends = allowed_ends;
        let listener = Listener::follow(shared.client.clone(), accepted.clone());
        shared.send(UserEvent::SubmissionAccepted(Box::new(acknowledged), listener));
        shared.remember(accepted);
        shared.pause(rng.u64(PATIENTS_PAUSE)).await;
    }
}

/// Sends random actions on recent submissions. Whether an action succeeds depends on the submission's state.
async fn staff_member(staff: Staff, mut rng: Rng, shared: Shared) {
    loop {
        shared.pause(rng.u64(STAFF_PAUSE)).await;
        if shared.stop.is_cancelled() {
            return;
        }
        let action = if rng.bool() { StaffAction::Cancel } else { StaffAction::Retry };
        let chosen = {
            let recent = shared.recent();
            (!recent.is_empty()).then(|| recent[rng.usize(..recent.len())].clone())
        };
        let Some(submission) = chosen else { continue };
        let path = format!("/api/admin/submissions/{}/{}", submission.submission_id, action.path());
        let call = staff.request(Method::POST, &path).json(&json!({"reason": "soak"}));
        let status = call.send().await.map(|response| response.status());
        let is_acknowledged = status.as_ref().is_ok_and(StatusCode::is_success);
        // The action may have taken effect if there is no response or a server error.
        let is_refused = status.as_ref().is_ok_and(StatusCode::is_client_error);
        if !is_refused {
            shared.send(UserEvent::ActionSent { submission, action, is_acknowledged });
        }
    }
}

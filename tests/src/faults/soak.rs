//! A soak test, which runs patients, staff and random faults concurrently for a long time and then checks the
//! invariants.
//!
//! The seed determines each user's actions and the faults, including their order, but not their exact timing. To
//! investigate a violation, run a soak test with the same seed.

mod faults;
mod users;

use self::faults::FrozenWorker;
use self::users::{POISONED, SimulatedUsers, StaffAction, UserEvent};
use super::acknowledged::ExpectedEnd;
use super::invariants::Invariant;
use super::report::RowReport;
use super::testbed::Testbed;
use crate::client::AcceptedSubmission;
use crate::dedicated_servers::{DedicatedMariaDb, DedicatedTemporal};
use crate::eventually::eventually;
use crate::stack::{StackOptions, fast_loopai};
use crate::staff::Staff;
use diagflow_simulators::loopai;
use diagflow_simulators::mail;
use diagflow_store::Role;
use fastrand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Time limit for all runs to end. It exceeds the longest backoff for e-mails and polls, and Temporal's timeouts after
/// it has been killed.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(600);
const FAULT_INTERVAL: Duration = Duration::from_secs(5);
/// Capacity of the simulators, which must be large enough that no records are evicted.
const CAPACITY: usize = 1_000_000;

pub struct SoakReport {
    pub counts: BTreeMap<&'static str, u32>,
    pub ends: BTreeMap<String, i64>,
    pub report: RowReport,
}

pub async fn soak(length: Duration, seed: u64) -> SoakReport {
    let (mut soak, users) = Soak::start(seed).await;
    let started = Instant::now();
    while started.elapsed() < length {
        if soak.is_frozen_worker_due() {
            soak.resume_frozen_worker().await;
        }
        soak.inject_fault().await;
        soak.record_events();
        users.assert_running();
        tokio::time::sleep(FAULT_INTERVAL).await;
    }
    soak.end(users).await
}

struct Soak {
    testbed: Testbed,
    database: DedicatedMariaDb,
    temporal: DedicatedTemporal,
    staff: Staff,
    frozen: Option<FrozenWorker>,
    events: UnboundedReceiver<UserEvent>,
    rng: Rng,
    counts: BTreeMap<&'static str, u32>,
}

impl Soak {
    async fn start(seed: u64) -> (Soak, SimulatedUsers) {
        let (database, temporal) =
            (DedicatedMariaDb::start().await, DedicatedTemporal::start().await);
        let options = StackOptions {
            mysql: Some(database.url()),
            temporal: Some(temporal.address()),
            loopai: Some(loopai::Settings { capacity: CAPACITY, ..fast_loopai() }),
            mail: mail::Settings { capacity: CAPACITY, ..mail::Settings::default() },
            ..StackOptions::default()
                .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "5")
                .with("IDEMPOTENCY_LEASE_SECONDS", "3")
                .with("LOOPAI_TIMEOUT_SECONDS", "2")
                .with("SMTP_RESPONSE_TIMEOUT_SECONDS", "2")
                .with("RECONCILE_AFTER_SECONDS", "30")
                .with("RECONCILE_SWEEP_SECONDS", "5")
                // With these lifetimes, a single sign-in is valid for the whole soak test.
                .with("ACCESS_TOKEN_LIFETIME_SECONDS", "86400")
                .with("SESSION_IDLE_TIMEOUT_SECONDS", "86400")
                .with("SESSION_LIFETIME_SECONDS", "86400")
        };
        let mut testbed = Testbed::start(options).await;
        testbed.settle_timeout = SETTLE_TIMEOUT;
        // A delivery becomes `unknown` when the mail server drops the connection after the message data.
        testbed.tolerances.delivery_statuses = &["sent", "unknown"];
        let staff = Staff::with_role(&testbed.stack, Role::Operator).await;
        let mut rng = Rng::with_seed(seed);
        let (sender, events) = unbounded_channel();
        let users = SimulatedUsers::start(&mut rng, &testbed.stack.client, &staff, sender);
        let (frozen, counts) = (None, BTreeMap::new());
        (Soak { testbed, database, temporal, staff, frozen, events, rng, counts }, users)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn record_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            let what = match event {
                UserEvent::SubmissionAccepted(acknowledged, listener) => {
                    self.testbed.record(*acknowledged, listener);
                    "submissions"
                }
                UserEvent::ActionSent { submission, action, is_acknowledged } => {
                    let acknowledged = self.testbed.acknowledged_mut(&submission);
                    if action == StaffAction::Cancel {
                        acknowledged.allow(ExpectedEnd::CANCELLED);
                    }
                    if is_acknowledged {
                        acknowledged.staff_actions.push(action.audit_action());
                    }
                    match (action, is_acknowledged) {
                        (_, false) => "actions without a response",
                        (StaffAction::Cancel, true) => "cancellations",
                        (StaffAction::Retry, true) => "retries",
                    }
                }
            };
            self.count(what);
        }
    }

    async fn end(mut self, users: SimulatedUsers) -> SoakReport {
        users.stop().await;
        self.record_events();
        self.resume_frozen_worker().await;
        self.cancel_poisoned().await;
        let (report, ends) = self.testbed.report_with_ends().await;
        SoakReport { counts: self.counts, ends, report }
    }

    /// Cancels the open submissions that LoopAI cannot process. Their failures no longer count as their own because
    /// LoopAI gets no other requests, so they would be retried until the deadline.
    async fn cancel_poisoned(&mut self) {
        let query = format!(
            "SELECT id FROM submissions WHERE finished_at IS NULL AND comments = '{POISONED}'"
        );
        let open = self.testbed.stack.database.texts(&query).await;
        let all = self.testbed.acknowledged().iter().map(|one| one.accepted.clone());
        let poisoned: Vec<_> = all.filter(|one| open.contains(&one.submission_id)).collect();
        for submission in poisoned {
            self.cancel(&submission).await;
        }
    }

    async fn cancel(&mut self, submission: &AcceptedSubmission) {
        let path = format!("/api/admin/submissions/{}/cancel", submission.submission_id);
        let status = eventually("a response to a cancellation", || async {
            let call = self.staff.request(Method::POST, &path).json(&json!({"reason": "soak"}));
            let status = call.send().await.ok()?.status();
            (!status.is_server_error()).then_some(status)
        })
        .await;
        let acknowledged = self.testbed.acknowledged_mut(submission);
        acknowledged.allow(ExpectedEnd::CANCELLED);
        if status.is_success() {
            acknowledged.staff_actions.push(StaffAction::Cancel.audit_action());
            self.count("poisoned submissions cancelled at the end");
        } else {
            assert_eq!(status, StatusCode::CONFLICT, "the run has just ended");
        }
    }
}

impl SoakReport {
    pub fn passed(&self) -> bool {
        self.report.violations.is_empty()
    }

    pub fn invariants_held(&self) -> String {
        let broken = |one: &Invariant| self.report.violations.iter().any(|it| it.invariant == *one);
        let held = Invariant::ALL.iter().filter(|one| !broken(one)).map(|one| one.name());
        held.collect::<Vec<_>>().join(" ")
    }
}

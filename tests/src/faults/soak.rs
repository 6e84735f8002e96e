//! A soak test, which runs patients, staff and random faults concurrently for a long time and then checks the
//! invariants.
//!
//! The seed determines each user's actions and the faults, including their order, but not their exact timing. To
//! investigate a violation, run a soak test with the same seed.

mod users;

use self::users::{SimulatedUsers, StaffAction, UserEvent};
use super::acknowledged::ExpectedEnd;
use super::invariants::Invariant;
use super::report::RowReport;
use super::testbed::Testbed;
use crate::dedicated_servers::{DedicatedMariaDb, DedicatedTemporal};
use crate::stack::{StackOptions, fast_loopai};
use crate::staff::Staff;
use diagflow_simulators::loopai;
use diagflow_simulators::mail::{self, Action, Rule, Step};
use diagflow_store::Role;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Time limit for all runs to end. It exceeds the longest backoff for e-mails and polls, and Temporal's timeouts after
/// it has been killed.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(600);
const FAULT_INTERVAL: Duration = Duration::from_secs(5);
/// Number of faulty responses in a single LoopAI or mail server fault.
const FAULTY_RESPONSES: u32 = 5;
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
        let soak = Soak { testbed, database, temporal, events, rng, counts: BTreeMap::new() };
        (soak, users)
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
                    if action == StaffAction::Cancel
                        && !acknowledged.allowed_ends.contains(&ExpectedEnd::CANCELLED)
                    {
                        acknowledged.allowed_ends.push(ExpectedEnd::CANCELLED);
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

    async fn inject_fault(&mut self) {
        let testbed = &mut self.testbed;
        let what = match self.rng.u32(..8) {
            0 => {
                testbed.stack.api.take().expect("a running process").kill();
                testbed.stack.start_api().await;
                "API killed"
            }
            1 => {
                testbed.stack.worker.take().expect("a running process").kill();
                testbed.stack.start_worker().await;
                "worker killed"
            }
            2 => {
                testbed.stack.api.take().expect("a running process").stop().await;
                testbed.stack.start_api().await;
                "API restarted"
            }
            3 => {
                testbed.stack.worker.take().expect("a running process").stop().await;
                testbed.stack.start_worker().await;
                "worker restarted"
            }
            4 => {
                self.database.kill();
                self.database.restart().await;
                "MySQL killed"
            }
            5 => {
                self.temporal.kill();
                self.temporal.restart().await;
                "Temporal killed"
            }
            6 => {
                // Five unreadable responses in a row would end a run, so `html` appears only in patients' scripts.
                let faults = ["500", "429:1s", "reset", "hang", "502"];
                let fault = faults[self.rng.usize(..faults.len())];
                let script = format!(
                    "diagnose={fault}*{FAULTY_RESPONSES}, status={fault}*{FAULTY_RESPONSES}, delay=100ms"
                );
                testbed.stack.loopai.set_scenario(script.parse().expect("a scenario"));
                "LoopAI faulty"
            }
            _ => {
                let rules = [
                    Rule::reply(Step::Connect, 421, "4.3.2 Shutting down"),
                    Rule::reply(Step::Rcpt, 451, "4.7.1 Try later"),
                    Rule::new(Step::Body, Action::DropAfterAccept),
                    Rule::new(Step::Body, Action::Drop),
                ];
                let rule = rules[self.rng.usize(..rules.len())].clone();
                testbed.stack.mail.set_script([rule.times(FAULTY_RESPONSES)]).expect("a script");
                "mail server faulty"
            }
        };
        self.count(what);
    }

    async fn end(mut self, users: SimulatedUsers) -> SoakReport {
        users.stop().await;
        self.record_events();
        let (report, ends) = self.testbed.report_with_ends().await;
        SoakReport { counts: self.counts, ends, report }
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

//! A long run from a seed: patients, staff and faults of all kinds, mixed; then the same judge.
//!
//! The seed decides what happens and in which order. When exactly it meets the processes is up to the machine:
//! a run that finds something says what, and its seed is where to look for it.

use super::judge::Invariant;
use super::table::Report;
use super::world::World;
use crate::Accepted;
use crate::own_servers::{OwnMariaDb, OwnTemporal};
use crate::stack::{StackOptions, usual_loopai};
use crate::staff::Staff;
use diagflow_simulators::loopai;
use diagflow_simulators::mail::{self, Action, Rule, Step};
use diagflow_store::Role;
use fastrand::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two steps: a load that two cores carry beside the faults.
const PACE: Duration = Duration::from_millis(250);
/// What a LoopAI or a mail server that was told to misbehave does that often.
const MISBEHAVES: u32 = 5;
/// Mails and executions that the simulators remember: all of them.
const KEEP: usize = 1_000_000;
/// Of a hundred steps, so many are moves of staff and so many are faults; the others are submissions.
const MOVES: u32 = 8;
const FAULTS: u32 = 4;
/// The submissions that staff choose from: the newest.
const REMEMBERED: usize = 200;

/// What patients' submissions meet at LoopAI.
const SCRIPTS: [&str; 8] = [
    "",
    "",
    "[sim: delay=2s]",
    "[sim: fail*1, delay=100ms]",
    "[sim: diagnose=500*1, delay=100ms]",
    "[sim: status=503*2, delay=100ms]",
    "[sim: diagnose=accept+reset*1, delay=100ms]",
    "[sim: status=html*1, status=truncated*1, delay=300ms]",
];

/// What happened, and what was found.
pub struct SoakReport {
    /// How often what was done.
    pub counts: BTreeMap<&'static str, u32>,
    /// How many submissions ended how, and how many e-mails.
    pub ends: BTreeMap<String, i64>,
    /// What the judge says.
    pub report: Report,
}

/// Runs for this time, and stops by itself.
pub async fn soak(length: Duration, seed: u64) -> SoakReport {
    let mut soak = Soak::start(seed).await;
    let begun = Instant::now();
    while begun.elapsed() < length {
        soak.step().await;
        tokio::time::sleep(PACE).await;
    }
    soak.end().await
}

struct Soak {
    world: World,
    database: OwnMariaDb,
    temporal: OwnTemporal,
    staff: Staff,
    rng: Rng,
    newest: Vec<Accepted>,
    counts: BTreeMap<&'static str, u32>,
}

impl Soak {
    async fn start(seed: u64) -> Soak {
        let (database, temporal) = (OwnMariaDb::start().await, OwnTemporal::start().await);
        let options = StackOptions {
            mysql: Some(database.url()),
            temporal: Some(temporal.address()),
            loopai: Some(loopai::Settings { keep: KEEP, ..usual_loopai() }),
            mail: mail::Settings { keep: KEEP, ..mail::Settings::default() },
            ..StackOptions::default()
                .with("DATABASE_STATEMENT_SECONDS", "5")
                .with("IDEMPOTENCY_LEASE_SECONDS", "3")
                .with("LOOPAI_TIMEOUT_SECONDS", "2")
                .with("SMTP_ANSWER_SECONDS", "2")
                // One sign-in for the whole run, however long it is.
                .with("ACCESS_TOKEN_SECONDS", "86400")
                .with("SESSION_IDLE_SECONDS", "86400")
                .with("SESSION_LIFETIME_SECONDS", "86400")
        };
        let world = World::start(options).await;
        let staff = Staff::with_role(&world.stack, Role::Operator).await;
        let (newest, counts) = (Vec::new(), BTreeMap::new());
        Soak { world, database, temporal, staff, rng: Rng::with_seed(seed), newest, counts }
    }

    async fn step(&mut self) {
        let dice = self.rng.u32(..100);
        if dice < FAULTS {
            self.fault().await;
        } else if dice < FAULTS + MOVES && !self.newest.is_empty() {
            self.press().await;
        } else {
            self.submit().await;
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    async fn submit(&mut self) {
        let script = SCRIPTS[self.rng.usize(..SCRIPTS.len())];
        let accepted = self.world.submit_until_accepted(script).await;
        self.count("submissions");
        self.newest.push(accepted);
        if self.newest.len() > REMEMBERED {
            self.newest.remove(0);
        }
    }

    /// Staff press something; whether it is done is up to how the submission stands.
    async fn press(&mut self) {
        let chosen = self.newest[self.rng.usize(..self.newest.len())].clone();
        let (verb, action, counted) = if self.rng.bool() {
            ("cancel", "submission_cancel", "cancellations")
        } else {
            ("retry", "submission_retry", "retries")
        };
        let path = format!("/api/admin/submissions/{}/{verb}", chosen.submission_id);
        let answer = self.staff.post(&path, &json!({"reason": "a long run"})).await;
        if answer.status().is_success() {
            self.world.moved(&chosen, action);
            self.count(counted);
        }
    }

    async fn fault(&mut self) {
        let world = &mut self.world;
        let what = match self.rng.u32(..8) {
            0 => {
                world.stack.api.take().expect("runs").kill();
                world.stack.start_api().await;
                "API killed"
            }
            1 => {
                world.stack.worker.take().expect("runs").kill();
                world.stack.start_worker().await;
                "worker killed"
            }
            2 => {
                world.stack.api.take().expect("runs").stopped().await;
                world.stack.start_api().await;
                "API restarted"
            }
            3 => {
                world.stack.worker.take().expect("runs").stopped().await;
                world.stack.start_worker().await;
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
                let faults = ["500", "429:1s", "reset", "hang", "html"];
                let fault = faults[self.rng.usize(..faults.len())];
                let script = format!(
                    "diagnose={fault}*{MISBEHAVES}, status={fault}*{MISBEHAVES}, delay=100ms"
                );
                world.stack.loopai.set_scenario(script.parse().expect("a scenario"));
                "LoopAI misbehaves"
            }
            _ => {
                let rules = [
                    Rule::reply(Step::Connect, 421, "4.3.2 Shutting down"),
                    Rule::reply(Step::Rcpt, 451, "4.7.1 Try later"),
                    Rule::new(Step::Body, Action::DropAfterAccept),
                    Rule::new(Step::Body, Action::Drop),
                ];
                let rule = rules[self.rng.usize(..rules.len())].clone();
                world.stack.mail.set_script([rule.times(MISBEHAVES)]).expect("a script");
                "mail server misbehaves"
            }
        };
        self.count(what);
    }

    async fn end(self) -> SoakReport {
        let (report, ends) = self.world.report_with_ends().await;
        SoakReport { counts: self.counts, ends, report }
    }
}

impl SoakReport {
    /// Whether every invariant holds.
    pub fn is_good(&self) -> bool {
        self.report.violations.is_empty()
    }

    /// The invariants that hold, by name.
    pub fn held(&self) -> String {
        let broken = |one: &Invariant| self.report.violations.iter().any(|it| it.invariant == *one);
        let held = Invariant::ALL.iter().filter(|one| !broken(one)).map(|one| one.name());
        held.collect::<Vec<_>>().join(" ")
    }
}

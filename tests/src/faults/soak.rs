//! A long run from a seed: patients, staff and faults of all kinds, all at once; then the same judge.
//!
//! The seed decides what each of them does and in which order. When exactly it meets the processes is up to the
//! machine: a run that finds something says what, and its seed is where to look for it.

mod people;

use self::people::{News, People, Verb};
use super::judge::Invariant;
use super::ledger::End;
use super::report::Report;
use super::world::World;
use crate::own_servers::{OwnMariaDb, OwnTemporal};
use crate::stack::{StackOptions, usual_loopai};
use crate::staff::Staff;
use diagflow_simulators::loopai;
use diagflow_simulators::mail::{self, Action, Rule, Step};
use diagflow_store::Role;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long an e-mail or a look may be put off at the end, after many attempts, and how long it takes to notice
/// what a Temporal that was killed had not written down.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two faults.
const PACE: Duration = Duration::from_secs(5);
/// What a LoopAI or a mail server that was told to misbehave does that often.
const MISBEHAVES: u32 = 5;
/// Mails and executions that the simulators remember: all of them.
const KEEP: usize = 1_000_000;

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
    let (mut soak, people) = Soak::start(seed).await;
    let begun = Instant::now();
    while begun.elapsed() < length {
        soak.fault().await;
        soak.hear();
        people.assert_at_work();
        tokio::time::sleep(PACE).await;
    }
    soak.end(people).await
}

struct Soak {
    world: World,
    database: OwnMariaDb,
    temporal: OwnTemporal,
    news: UnboundedReceiver<News>,
    rng: Rng,
    counts: BTreeMap<&'static str, u32>,
}

impl Soak {
    async fn start(seed: u64) -> (Soak, People) {
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
                .with("LOST_AFTER_SECONDS", "30")
                .with("LOST_SWEEP_SECONDS", "5")
                // One sign-in for the whole run, however long it is.
                .with("ACCESS_TOKEN_SECONDS", "86400")
                .with("SESSION_IDLE_SECONDS", "86400")
                .with("SESSION_LIFETIME_SECONDS", "86400")
        };
        let mut world = World::start(options).await;
        world.patience = PATIENCE;
        // What becomes of an e-mail whose server drops the connection is not known.
        world.terms.mails = &["sent", "unknown"];
        let staff = Staff::with_role(&world.stack, Role::Operator).await;
        let mut rng = Rng::with_seed(seed);
        let (tell, news) = unbounded_channel();
        let people = People::at_work(&mut rng, &world.stack.client, &staff, tell);
        let soak = Soak { world, database, temporal, news, rng, counts: BTreeMap::new() };
        (soak, people)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes what people were told meanwhile.
    fn hear(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            let what = match news {
                News::Accepted(promised, listener) => {
                    self.world.note(*promised, listener);
                    "submissions"
                }
                News::Pressed { submission, verb, is_acknowledged } => {
                    let promised = self.world.promised(&submission);
                    if verb == Verb::Cancel && !promised.ends.contains(&End::CANCELLED) {
                        promised.ends.push(End::CANCELLED);
                    }
                    if is_acknowledged {
                        promised.moves.push(verb.action());
                    }
                    match (verb, is_acknowledged) {
                        (_, false) => "presses without an answer",
                        (Verb::Cancel, true) => "cancellations",
                        (Verb::Retry, true) => "retries",
                    }
                }
            };
            self.count(what);
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

    async fn end(mut self, people: People) -> SoakReport {
        people.go_home().await;
        self.hear();
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

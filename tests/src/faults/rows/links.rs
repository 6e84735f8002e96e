//! The lines between any two parts: slow, reset, and silent without anybody being told (half-open). Each stays so
//! until the limit that the product has for it was seen to strike, from outside.
//!
//! The line on which LoopAI fetches images (`LOOPAI_IMAGES=url`) is not among them: whether it tries again is up to
//! LoopAI, and the product is not told. The simulator asks once; what it could not read is a finding of a result.

mod patient;

use crate::eventually;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::operator;
use crate::proxy::Proxy;
use crate::stack::{StackOptions, id_of};
use crate::{Accepted, history};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use std::time::Duration;

/// A line of a process to a server, or of a patient to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    ApiToTemporal,
    WorkerToTemporal,
    WorkerToMail,
    ApiToMySql,
    WorkerToMySql,
    WorkerToLoopAi,
    PatientToApi,
}

const LINKS: [Link; 7] = [
    Link::ApiToTemporal,
    Link::WorkerToTemporal,
    Link::WorkerToMail,
    Link::ApiToMySql,
    Link::WorkerToMySql,
    Link::WorkerToLoopAi,
    Link::PatientToApi,
];

/// How a line goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Slow,
    Reset,
    HalfOpen,
}

const TROUBLES: [Trouble; 3] = [Trouble::Slow, Trouble::Reset, Trouble::HalfOpen];

/// Each line in each trouble, in a world for each line: a submission under way and one that comes meet it, and
/// come to their end when it is over.
pub(crate) async fn every_line() -> Report {
    let worlds = LINKS.map(async |link| match link {
        Link::PatientToApi => patient::troubled().await,
        link => troubled(link).await,
    });
    // All at once: they mostly wait for time limits.
    join_all(worlds).await.into_iter().fold(Report::default(), Report::and)
}

async fn troubled(link: Link) -> Report {
    let options = StackOptions::default()
        .with("DATABASE_STATEMENT_SECONDS", "2")
        .with("DATABASE_WAIT_SECONDS", "1")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3")
        .with("LOOPAI_TIMEOUT_SECONDS", "1")
        .with("SMTP_ANSWER_SECONDS", "2");
    let mut world = World::without_processes(options).await;
    // Where a line breaks just after the mail server's answer, nobody knows it.
    world.terms.mails = &["sent", "unknown"];
    let line = start_with(&mut world, link).await;
    for trouble in TROUBLES {
        let before = LoopAiCalls::of(&world).await;
        let under_way = world.submit_saying("[sim: delay=1s]").await;
        if link != Link::WorkerToMail {
            // To the mail server nothing goes before there is a result.
            world.stack.until(&under_way, "processing").await;
        }
        match trouble {
            Trouble::Slow => line.slow(link.late()),
            Trouble::Reset => line.reset(),
            Trouble::HalfOpen => half_open(&world, link, &line).await,
        }
        let (email, key) = (world.patient(), format!("{trouble:?}"));
        let sent = (link != Link::ApiToMySql).then(|| world.send_until_accepted(&email, &key));
        let what = format!("{trouble:?} {link:?} to strike a limit");
        eventually(&what, || {
            limit_struck(&world, link, trouble, &under_way, (&email, &key), &before)
        })
        .await;
        line.mend();
        let coming = match sent {
            Some(sent) => sent,
            None => world.send_until_accepted(&email, &key),
        };
        let answer = coming.await.expect("ran");
        let coming = world.acknowledge_sent(answer, &email).await;
        for submission in [&under_way, &coming] {
            world.stack.until(submission, "completed").await;
        }
    }
    assert!(line.troubles() > 0, "the line was met");
    world.report().await
}

impl Link {
    /// By how much every piece is late: more than the limit below allows for a question and its answer.
    fn late(self) -> Duration {
        Duration::from_millis(match self {
            // Signs of life, 2 s; everything before an e-mail's text, 15 s.
            Link::ApiToTemporal | Link::WorkerToTemporal | Link::WorkerToMail => 2500,
            Link::ApiToMySql | Link::WorkerToMySql => 1200,
            Link::WorkerToLoopAi | Link::PatientToApi => 700,
        })
    }
}

/// Whether the limit that the product has for this line was seen to strike.
async fn limit_struck(
    world: &World,
    link: Link,
    trouble: Trouble,
    under_way: &Accepted,
    coming: (&str, &str),
    before: &LoopAiCalls,
) -> Option<()> {
    let struck = match link {
        Link::ApiToMySql => {
            let answer = world.send(coming.0, Some(coming.1)).await.expect("ran").ok()?;
            answer.status() == StatusCode::SERVICE_UNAVAILABLE
                && answer.headers().contains_key("retry-after")
        }
        Link::WorkerToMySql => failed_in_temporal(world, under_way, "records_unavailable").await,
        Link::ApiToTemporal => {
            let ready: Value = world.stack.client.get("/ready").await.json().await.ok()?;
            ready["temporal"] == "unreachable"
        }
        Link::WorkerToTemporal => {
            let address = world.stack.variable("WORKER_LISTEN_ADDRESS");
            let ready = reqwest::get(format!("http://{address}/ready")).await.ok()?;
            ready.text().await.ok()? == "Temporal does not answer"
        }
        Link::WorkerToLoopAi => {
            let now = LoopAiCalls::of(world).await;
            match trouble {
                Trouble::Reset => now.unreachable > before.unreachable,
                Trouble::Slow | Trouble::HalfOpen => now.timeout > before.timeout,
            }
        }
        Link::WorkerToMail => {
            let all = world.stack.store.deliveries(id_of(under_way)).await.ok()?;
            let code = all.into_iter().find_map(|delivery| delivery.error_code)?;
            match trouble {
                Trouble::Reset => code == "smtp_unreachable" || code == "smtp_broken_off",
                Trouble::Slow | Trouble::HalfOpen => code == "smtp_timeout",
            }
        }
        Link::PatientToApi => unreachable!("has a row's part of its own"),
    };
    struck.then_some(())
}

/// Whether Temporal has an attempt of the submission's run that failed with this code.
async fn failed_in_temporal(world: &World, submission: &Accepted, code: &str) -> bool {
    let history = history::document(&world.stack, submission).await.to_string();
    history.contains(code)
        || operator::act("describe", submission, &["--output", "json"]).await.contains(code)
}

/// How many calls to LoopAI the worker counts that failed.
#[derive(Debug, Default)]
struct LoopAiCalls {
    timeout: u64,
    unreachable: u64,
}

impl LoopAiCalls {
    async fn of(world: &World) -> LoopAiCalls {
        let address = world.stack.variable("WORKER_LISTEN_ADDRESS");
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
        let metrics = metrics.text().await.expect("a text");
        let of = |code: &str| {
            let lines = metrics.lines().filter(|line| {
                line.starts_with("diagflow_loopai_calls_total") && line.contains(code)
            });
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        LoopAiCalls { timeout: of("\"loopai_timeout\""), unreachable: of("\"loopai_unreachable\"") }
    }
}

/// What is said on the line's connections from now on is never heard. Not in the middle of a transaction: MySQL
/// keeps the locks of a client that vanished there for two minutes (`store/src/db/connection.rs`), which is longer
/// than a row may take.
async fn half_open(world: &World, link: Link, line: &Proxy) {
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx AS t \
         JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id \
         WHERE p.db = DATABASE()";
    if matches!(link, Link::ApiToMySql | Link::WorkerToMySql) {
        eventually("a moment without a transaction", || async {
            line.stall();
            let is_free = world.stack.database.number(open).await == 0;
            if !is_free {
                line.mend();
                // What MySQL shows stays as it is while somebody asks more than ten times a second.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            is_free.then_some(())
        })
        .await;
    }
    line.half_open();
}

/// Starts API and worker, with this line of theirs over a proxy.
async fn start_with(world: &mut World, link: Link) -> Proxy {
    let stack = &mut world.stack;
    let (setting, server) = match link {
        Link::ApiToMySql | Link::WorkerToMySql => {
            let (line, url) = stack.database.by_proxy().await;
            return start_both(world, link, line, ("DATABASE_URL", url)).await;
        }
        Link::ApiToTemporal | Link::WorkerToTemporal => {
            ("TEMPORAL_ADDRESS", stack.variable("TEMPORAL_ADDRESS"))
        }
        Link::WorkerToLoopAi => ("LOOPAI_API_URL", stack.loopai.address().to_string()),
        Link::WorkerToMail => ("SMTP_PORT", stack.mail.smtp_address().to_string()),
        Link::PatientToApi => unreachable!("has a row's part of its own"),
    };
    let line = Proxy::to(&server).await;
    let address = line.address();
    let by_line = match link {
        Link::WorkerToLoopAi => format!("http://{address}"),
        Link::WorkerToMail => address.rsplit(':').next().unwrap_or_default().to_owned(),
        _ => address,
    };
    start_both(world, link, line, (setting, by_line)).await
}

async fn start_both(
    world: &mut World,
    link: Link,
    line: Proxy,
    (setting, by_line): (&'static str, String),
) -> Proxy {
    let stack = &mut world.stack;
    let direct = stack.variable(setting);
    let is_of_the_api = matches!(link, Link::ApiToMySql | Link::ApiToTemporal);
    stack.set(setting, if is_of_the_api { by_line.clone() } else { direct.clone() });
    stack.start_api().await;
    stack.set(setting, if is_of_the_api { direct } else { by_line });
    stack.start_worker().await;
    line
}

//! The lines between any two parts: slow, reset, and silent without anybody being told (half-open). Each stays so
//! until the limit that the product has for it was seen to strike, from outside.
//!
//! The line on which LoopAI fetches images (`LOOPAI_IMAGES=url`) is not among them: whether it tries again is up to
//! LoopAI, and the product is not told. The simulator asks once; what it could not read is a finding of a result.

mod patient;

use crate::eventually;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::proxy::Proxy;
use crate::stack::{StackOptions, id_of};
use crate::temporal_cli;
use crate::{AcceptedSubmission, history};
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
enum LinkFault {
    Slow,
    Reset,
    HalfOpen,
}

const LINK_FAULTS: [LinkFault; 3] = [LinkFault::Slow, LinkFault::Reset, LinkFault::HalfOpen];

/// Each line in each trouble, in a world for each line: a submission under way and one that comes meet it, and
/// come to their end when it is over.
pub(crate) async fn every_link() -> RowReport {
    let testbeds = LINKS.map(async |link| match link {
        Link::PatientToApi => patient::run().await,
        link => run_link_faults(link).await,
    });
    // All at once: they mostly wait for time limits.
    join_all(testbeds).await.into_iter().fold(RowReport::default(), RowReport::merge)
}

async fn run_link_faults(link: Link) -> RowReport {
    let options = StackOptions::default()
        .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "2")
        .with("DATABASE_POOL_TIMEOUT_SECONDS", "1")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3")
        .with("LOOPAI_TIMEOUT_SECONDS", "1")
        .with("SMTP_RESPONSE_TIMEOUT_SECONDS", "2");
    let mut testbed = Testbed::without_processes(options).await;
    // Where a line breaks just after the mail server's answer, nobody knows it.
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    let proxy = start_with(&mut testbed, link).await;
    for fault in LINK_FAULTS {
        let before = LoopAiCalls::of(&testbed).await;
        let in_progress = testbed.submit_with_comments("[sim: delay=1s]").await;
        if link != Link::WorkerToMail {
            // To the mail server nothing goes before there is a result.
            testbed.stack.wait_for_status(&in_progress, "processing").await;
        }
        match fault {
            LinkFault::Slow => proxy.slow(link.delay()),
            LinkFault::Reset => proxy.reset(),
            LinkFault::HalfOpen => half_open(&testbed, link, &proxy).await,
        }
        let (email, key) = (testbed.new_patient(), format!("{fault:?}"));
        let sent = (link != Link::ApiToMySql).then(|| testbed.send_until_accepted(&email, &key));
        let what = format!("{fault:?} {link:?} to strike a limit");
        eventually(&what, || {
            limit_reached(&testbed, link, fault, &in_progress, (&email, &key), &before)
        })
        .await;
        proxy.restore();
        let new = match sent {
            Some(sent) => sent,
            None => testbed.send_until_accepted(&email, &key),
        };
        let answer = new.await.expect("ran");
        let new = testbed.record_sent(answer, &email).await;
        for submission in [&in_progress, &new] {
            testbed.stack.wait_for_status(submission, "completed").await;
        }
    }
    assert!(proxy.disruptions() > 0, "the line was met");
    testbed.report().await
}

impl Link {
    /// By how much every piece is late: more than the limit below allows for a question and its answer.
    fn delay(self) -> Duration {
        Duration::from_millis(match self {
            // Signs of life, 2 s; everything before an e-mail's text, 15 s.
            Link::ApiToTemporal | Link::WorkerToTemporal | Link::WorkerToMail => 2500,
            Link::ApiToMySql | Link::WorkerToMySql => 1200,
            Link::WorkerToLoopAi | Link::PatientToApi => 700,
        })
    }
}

/// Whether the limit that the product has for this line was seen to strike.
async fn limit_reached(
    testbed: &Testbed,
    link: Link,
    fault: LinkFault,
    in_progress: &AcceptedSubmission,
    new: (&str, &str),
    before: &LoopAiCalls,
) -> Option<()> {
    let reached = match link {
        Link::ApiToMySql => {
            let answer = testbed.send(new.0, Some(new.1)).await.expect("ran").ok()?;
            answer.status() == StatusCode::SERVICE_UNAVAILABLE
                && answer.headers().contains_key("retry-after")
        }
        Link::WorkerToMySql => {
            failed_in_temporal(testbed, in_progress, "records_unavailable").await
        }
        Link::ApiToTemporal => {
            let ready: Value = testbed.stack.client.get("/ready").await.json().await.ok()?;
            ready["temporal"] == "unreachable"
        }
        Link::WorkerToTemporal => {
            let address = testbed.stack.setting("WORKER_LISTEN_ADDRESS");
            let ready = reqwest::get(format!("http://{address}/ready")).await.ok()?;
            ready.text().await.ok()? == "Temporal does not answer"
        }
        Link::WorkerToLoopAi => {
            let now = LoopAiCalls::of(testbed).await;
            match fault {
                LinkFault::Reset => now.unreachable > before.unreachable,
                LinkFault::Slow | LinkFault::HalfOpen => now.timeout > before.timeout,
            }
        }
        Link::WorkerToMail => {
            let all = testbed.stack.store.deliveries(id_of(in_progress)).await.ok()?;
            let code = all.into_iter().find_map(|delivery| delivery.error_code)?;
            match fault {
                LinkFault::Reset => code == "smtp_unreachable" || code == "smtp_connection_lost",
                LinkFault::Slow | LinkFault::HalfOpen => code == "smtp_timeout",
            }
        }
        Link::PatientToApi => unreachable!("has a row's part of its own"),
    };
    reached.then_some(())
}

/// Whether Temporal has an attempt of the submission's run that failed with this code.
async fn failed_in_temporal(
    testbed: &Testbed,
    submission: &AcceptedSubmission,
    code: &str,
) -> bool {
    let history = history::json(&testbed.stack, submission).await.to_string();
    history.contains(code)
        || temporal_cli::submission_workflow("describe", submission, &["--output", "json"])
            .await
            .contains(code)
}

/// How many calls to LoopAI the worker counts that failed.
#[derive(Debug, Default)]
struct LoopAiCalls {
    timeout: u64,
    unreachable: u64,
}

impl LoopAiCalls {
    async fn of(testbed: &Testbed) -> LoopAiCalls {
        let address = testbed.stack.setting("WORKER_LISTEN_ADDRESS");
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
        let metrics = metrics.text().await.expect("a text");
        let of = |code: &str| {
            let lines = metrics.lines().filter(|line| {
                line.starts_with("diagflow_loopai_requests_total") && line.contains(code)
            });
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        LoopAiCalls { timeout: of("\"loopai_timeout\""), unreachable: of("\"loopai_unreachable\"") }
    }
}

/// What is said on the line's connections from now on is never heard. Not in the middle of a transaction: MySQL
/// keeps the locks of a client that vanished there for two minutes (`store/src/db/connection.rs`), which is longer
/// than a row may take.
async fn half_open(testbed: &Testbed, link: Link, proxy: &Proxy) {
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx AS t \
         JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id \
         WHERE p.db = DATABASE()";
    if matches!(link, Link::ApiToMySql | Link::WorkerToMySql) {
        eventually("a moment without a transaction", || async {
            proxy.stall();
            let is_free = testbed.stack.database.number(open).await == 0;
            if !is_free {
                proxy.restore();
                // What MySQL shows stays as it is while somebody asks more than ten times a second.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            is_free.then_some(())
        })
        .await;
    }
    proxy.half_open();
}

/// Starts API and worker, with this line of theirs over a proxy.
async fn start_with(testbed: &mut Testbed, link: Link) -> Proxy {
    let stack = &mut testbed.stack;
    let (setting, server) = match link {
        Link::ApiToMySql | Link::WorkerToMySql => {
            let (proxy, url) = stack.database.via_proxy().await;
            return start_both(testbed, link, proxy, ("DATABASE_URL", url)).await;
        }
        Link::ApiToTemporal | Link::WorkerToTemporal => {
            ("TEMPORAL_ADDRESS", stack.setting("TEMPORAL_ADDRESS"))
        }
        Link::WorkerToLoopAi => ("LOOPAI_API_URL", stack.loopai.address().to_string()),
        Link::WorkerToMail => ("SMTP_PORT", stack.mail.smtp_address().to_string()),
        Link::PatientToApi => unreachable!("has a row's part of its own"),
    };
    let proxy = Proxy::to(&server).await;
    let address = proxy.address();
    let via_proxy = match link {
        Link::WorkerToLoopAi => format!("http://{address}"),
        Link::WorkerToMail => address.rsplit(':').next().unwrap_or_default().to_owned(),
        _ => address,
    };
    start_both(testbed, link, proxy, (setting, via_proxy)).await
}

async fn start_both(
    testbed: &mut Testbed,
    link: Link,
    proxy: Proxy,
    (setting, via_proxy): (&'static str, String),
) -> Proxy {
    let stack = &mut testbed.stack;
    let direct = stack.setting(setting);
    let is_api_link = matches!(link, Link::ApiToMySql | Link::ApiToTemporal);
    stack.set(setting, if is_api_link { via_proxy.clone() } else { direct.clone() });
    stack.start_api().await;
    stack.set(setting, if is_api_link { direct } else { via_proxy });
    stack.start_worker().await;
    proxy
}

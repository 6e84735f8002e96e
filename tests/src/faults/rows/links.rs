//! The row for network faults on every link: slow, reset and half-open connections. Each fault lasts until the link's
//! timeout has had a visible effect.
//!
//! The link from LoopAI to the API (`LOOPAI_IMAGES=url`) is not included, because it is up to LoopAI to retry failed
//! downloads, and Diagflow is not notified of them.

mod patient;

use crate::eventually::{LIMIT, eventually, within};
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkFault {
    Slow,
    Reset,
    HalfOpen,
}

const LINK_FAULTS: [LinkFault; 3] = [LinkFault::Slow, LinkFault::Reset, LinkFault::HalfOpen];

/// Each fault is injected on each link, where it affects a submission in progress and a new one. Afterwards, both
/// complete.
pub(crate) async fn every_link() -> RowReport {
    let testbeds = LINKS.map(async |link| match link {
        Link::PatientToApi => patient::run().await,
        link => run_link_faults(link).await,
    });
    // The testbeds run concurrently because they mostly wait for timeouts.
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
    // A delivery becomes `unknown` if the connection is lost just after the mail server's reply.
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    let proxy = start_with(&mut testbed, link).await;
    for fault in LINK_FAULTS {
        let before = LoopAiCalls::of(&testbed).await;
        let in_progress = testbed.submit_with_comments("[sim: delay=1s]").await;
        if link != Link::WorkerToMail {
            // The worker does not connect to the mail server until there is a result.
            testbed.stack.wait_for_status(&in_progress, "processing").await;
        }
        match fault {
            LinkFault::Slow => proxy.slow(link.delay()),
            LinkFault::Reset => proxy.reset(),
            LinkFault::HalfOpen => half_open(&testbed, link, &proxy).await,
        }
        let (email, key) = (testbed.new_patient(), format!("{fault:?}"));
        let sent = (link != Link::ApiToMySql).then(|| testbed.send_until_accepted(&email, &key));
        let what = format!("the timeout of {link:?} with {fault:?}");
        // Several attempts may be needed over a slow link.
        within(3 * LIMIT, &what, || {
            limit_reached(&testbed, link, fault, &in_progress, (&email, &key), &before)
        })
        .await;
        proxy.restore();
        let new = match sent {
            Some(sent) => sent,
            None => testbed.send_until_accepted(&email, &key),
        };
        let response = new.await.expect("a finished task");
        let new = testbed.record_sent(response, &email).await;
        for submission in [&in_progress, &new] {
            testbed.stack.wait_for_status(submission, "completed").await;
        }
    }
    assert!(proxy.disruptions() > 0, "the fault had no effect");
    testbed.report().await
}

impl Link {
    /// Returns the delay for each chunk of data, such that a request and its response together exceed the timeout.
    fn delay(self) -> Duration {
        Duration::from_millis(match self {
            // The timeouts are 2 s for health checks, and 15 s for the SMTP commands before the message data.
            Link::ApiToTemporal | Link::WorkerToTemporal | Link::WorkerToMail => 2500,
            Link::ApiToMySql | Link::WorkerToMySql => 1200,
            Link::WorkerToLoopAi | Link::PatientToApi => 700,
        })
    }
}

/// Returns whether the link's timeout has had a visible effect.
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
            let response = testbed.send(new.0, Some(new.1)).await.expect("a finished task").ok()?;
            response.status() == StatusCode::SERVICE_UNAVAILABLE
                && response.headers().contains_key("retry-after")
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
            ready.text().await.ok()? == "temporal_unreachable"
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
        Link::PatientToApi => unreachable!("see patient.rs"),
    };
    reached.then_some(())
}

/// Returns whether an activity attempt has failed with this code.
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

/// Returns the numbers of failed LoopAI requests from the worker's metrics.
#[derive(Debug, Default)]
struct LoopAiCalls {
    timeout: u64,
    unreachable: u64,
}

impl LoopAiCalls {
    async fn of(testbed: &Testbed) -> LoopAiCalls {
        let address = testbed.stack.setting("WORKER_LISTEN_ADDRESS");
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.expect("a response");
        let metrics = metrics.text().await.expect("text");
        let of = |code: &str| {
            let lines = metrics.lines().filter(|line| {
                line.starts_with("diagflow_loopai_requests_total") && line.contains(code)
            });
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        LoopAiCalls { timeout: of("\"loopai_timeout\""), unreachable: of("\"loopai_unreachable\"") }
    }
}

/// Makes the link half-open. For MySQL, waits for a moment without open transactions because MySQL holds an unreachable
/// client's locks for two minutes (`store/src/db/connection.rs`).
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
                // MySQL refreshes the `innodb_trx` view at most every 100 ms.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            is_free.then_some(())
        })
        .await;
    }
    proxy.half_open();
}

/// Starts the API and the worker, routing the given link through the returned proxy.
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
        Link::PatientToApi => unreachable!("see patient.rs"),
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

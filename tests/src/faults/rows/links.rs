//! The lines between any two parts: slow, reset, and silent without anybody being told (half-open).

use crate::eventually;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use futures::StreamExt;
use std::time::Duration;

/// Worlds beside one another: each mostly waits for time limits.
const AT_ONCE: usize = 3;
/// By how much every piece is late: a few of them are more than the limits below.
const LATE: Duration = Duration::from_millis(150);

/// A line of a process to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    ApiToMySql,
    WorkerToMySql,
    ApiToTemporal,
    WorkerToTemporal,
    WorkerToLoopAi,
    WorkerToMail,
}

const LINKS: [Link; 6] = [
    Link::ApiToMySql,
    Link::WorkerToMySql,
    Link::ApiToTemporal,
    Link::WorkerToTemporal,
    Link::WorkerToLoopAi,
    Link::WorkerToMail,
];

/// How it goes wrong.
type Trouble = fn(&Proxy);

const TROUBLES: [(&str, Trouble); 3] =
    [("slow", |line| line.slow(LATE)), ("reset", Proxy::reset), ("half-open", Proxy::stall)];

/// Each line in each trouble, in a world for each line: a submission under way and one that comes meet it, and
/// come to their end when it is over.
pub(crate) async fn every_line() -> Report {
    let worlds = futures::stream::iter(LINKS).map(troubled);
    worlds.buffer_unordered(AT_ONCE).fold(Report::default(), async |all, one| all.and(one)).await
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
    for (name, trouble) in TROUBLES {
        let before = line.troubles();
        let under_way = world.submit_saying("[sim: delay=1s]").await;
        if matches!(link, Link::WorkerToMail) {
            // Nothing goes over this line before there is a result.
            trouble(&line);
        } else {
            world.stack.until(&under_way, "processing").await;
            trouble(&line);
        }
        let email = world.patient();
        let coming = world.send_until_accepted(&email, name);
        eventually(format!("{link:?} to meet a line that is {name}"), || async {
            (line.troubles() > before).then_some(())
        })
        .await;
        line.mend();
        let answer = coming.await.expect("ran");
        world.acknowledge_sent(answer, &email).await;
    }
    world.report().await
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

//! Tests of a saturated worker or API. Polls do not wait for slow requests, new runs do not wait for a backlog, and
//! connections over the limit do not affect open ones.

use diagflow_simulators::loopai::RequestRecord;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::{Stack, StackOptions, eventually, photos};
use futures::future::join_all;
use std::net::Ipv4Addr;
use tokio::net::{TcpSocket, TcpStream};

/// Returns the number of slow requests that LoopAI has not answered yet and the number that it has answered.
fn count_held_and_answered(all: &[RequestRecord]) -> (usize, usize) {
    let slow = || all.iter().filter(|it| it.method == "POST" && it.fault.is_some());
    let answered = slow().filter(|it| it.status.is_some()).count();
    (slow().count() - answered, answered)
}

#[tokio::test]
async fn polling_continues_while_slow_requests_are_in_progress() {
    const AT_ONCE: usize = 4;
    let options = StackOptions::default().with("WORKER_CONCURRENCY", AT_ONCE.to_string());
    let mut stack = Stack::with(options).await;
    let photos = [photos::retina()];
    let submit = |script| stack.client.submit("ana@example.org", script, &photos);
    submit("[sim: stuck]").await;
    stack.wait_for_polls(1).await;
    join_all((0..30).map(|_| submit("[sim: diagnose=slow:25s]"))).await;
    let all_held =
        |all: &[RequestRecord]| (count_held_and_answered(all).0 == AT_ONCE / 2).then_some(());
    stack.loopai.wait_for_request(all_held, LIMIT).await.expect("requests");
    let polls = stack.loopai.executions()[0].polls;

    stack.wait_for_polls(polls + 5).await;

    // The polls reached LoopAI before it had answered any of the slow requests.
    assert_eq!(count_held_and_answered(&stack.loopai.requests()), (AT_ONCE / 2, 0));
    stack.worker.take().expect("a worker").kill();
    stack.stop().await;
}

#[tokio::test]
async fn new_runs_are_started_between_batches_of_a_backlog() {
    const BATCHES: usize = 10;
    const BACKLOG_LOG: &str = "starting runs left in the outbox";
    // Temporal responds but accepts no runs because the name of the task queue is too long.
    let options = StackOptions::default()
        .with("TEMPORAL_TASK_QUEUE", "q".repeat(2000))
        .with("LOG_LEVEL", "info");
    let mut stack = Stack::without_processes(options).await;
    let log = |stack: &Stack| stack.api.as_ref().expect("an API").log();
    let position_of_attempt = |log: &str, id: &str| {
        let mut positions = log.match_indices("run not started yet").map(|(position, _)| position);
        positions
            .find(|position| log[*position..].lines().next().is_some_and(|line| line.contains(id)))
    };
    stack.start_api().await;
    let submission = stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
    let more = (2..2 + BATCHES * 100)
        .map(|run| format!("('{}', {run}, NOW(6), NOW(6))", submission.submission_id));
    let more = more.collect::<Vec<_>>().join(", ");

    let columns = "submission_id, number, start_after, created_at";
    stack.database.execute(&format!("INSERT INTO runs ({columns}) VALUES {more}")).await;
    eventually("the first batch", || async { log(&stack).contains(BACKLOG_LOG).then_some(()) })
        .await;
    let new_submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;

    let log = eventually("all batches and the new run to be tried", || async {
        let log = log(&stack);
        let all = log.matches(BACKLOG_LOG).count() >= BATCHES;
        (all && position_of_attempt(&log, &new_submission.submission_id).is_some()).then_some(log)
    })
    .await;
    let position_of_attempt = position_of_attempt(&log, &new_submission.submission_id);
    let last_batch = log.rfind(BACKLOG_LOG).expect("batches");
    assert!(position_of_attempt < Some(last_batch), "the new run waited for the whole backlog");
    stack.stop().await;
}

async fn connect_from(client: Ipv4Addr, address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((client, 0).into())?;
    socket.connect(address.parse().expect("an address")).await
}

#[tokio::test]
async fn connections_over_the_limit_wait_without_affecting_open_ones() {
    const DESCRIPTORS: u32 = 128;
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api_with_descriptor_limit(DESCRIPTORS).await;
    let address = stack.client.url("").replace("http://", "");
    let photos = [photos::retina()];
    // The client keeps the first submission's connection open and uses it for the second one.
    stack.client.submit("ana@example.org", "", &photos).await;

    // One client may not occupy all connections.
    let clients = (2..=5).flat_map(|number| [Ipv4Addr::new(127, 0, 0, number); 32]);
    let idle = join_all(clients.map(|client| connect_from(client, &address))).await;
    assert!(idle.iter().all(Result::is_ok), "the operating system refused a connection");
    eventually("all connections to be in use", || async {
        let log = stack.api.as_ref().expect("an API").log();
        log.contains("connection limit reached").then_some(())
    })
    .await;

    // To store a submission, the API needs file descriptors for the database and the image file.
    stack.client.submit("ana@example.org", "", &photos).await;
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    drop(idle);
    stack.stop().await;
}

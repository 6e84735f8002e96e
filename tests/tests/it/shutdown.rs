//! Tests that the API and the worker finish their requests and activities within the grace period before they exit.
//! `stream.rs` tests how event streams end, and `mail/interrupted.rs` tests interrupted e-mails.

use diagflow_simulators::loopai::ExecutionRecord;
use diagflow_store::Failpoint;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::process::Process;
use diagflow_tests::{
    AcceptedSubmission, ApiClient, Stack, StackOptions, eventually, history, photos,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Reads until `enough` returns `true` for the text received so far, or until the stream ends.
async fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !enough(&text) {
        let read = timeout(LIMIT, stream.read(&mut bytes)).await.expect("more data in time");
        match read.expect("an intact connection") {
            0 => break,
            count => text += std::str::from_utf8(&bytes[..count]).expect("text"),
        }
    }
    text
}

#[tokio::test]
async fn a_half_sent_submission_is_accepted_before_the_api_exits() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let body =
        ApiClient::submission_body("ana@example.org", "itches", &[photos::retina()]).to_string();
    let (first_half, second_half) = body.split_at(body.len() / 2);
    let address = stack.client.url("").replace("http://", "");
    let mut upload = TcpStream::connect(&address).await.expect("connected");
    // A `100 Continue` response shows that the API is reading the request.
    let head = format!(
        "POST /api/user/submit HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    upload.write_all(head.as_bytes()).await.expect("sent");
    let response = read_until(&mut upload, |text| text.ends_with("\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 100 "), "{response}");
    upload.write_all(first_half.as_bytes()).await.expect("sent");

    let api = stack.api.take().expect("running");
    api.terminate();
    eventually("the API to refuse connections", || async {
        TcpStream::connect(&address).await.err()
    })
    .await;
    upload.write_all(second_half.as_bytes()).await.expect("sent");

    let response = read_until(&mut upload, |_| false).await;
    assert!(response.starts_with("HTTP/1.1 202 "), "{response}");
    api.stop().await;
    let stored = stack.database.texts("SELECT id FROM submissions").await;
    assert_eq!(stored.len(), 1);
    assert!(response.contains(&stored[0]), "{response}");
    stack.stop().await;
}

/// Sends a submission and pauses its worker at the failpoint `boundary`.
async fn hold_worker_at(boundary: Failpoint, options: StackOptions) -> (Stack, AcceptedSubmission) {
    let stack = Stack::with(options).await;
    stack.failpoints.arm(boundary);
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(boundary).await;
    (stack, accepted)
}

/// Sends SIGTERM to the worker and waits until it has logged the signal.
async fn request_stop(stack: &mut Stack) -> Process {
    let mut worker = stack.worker.take().expect("running");
    worker.terminate();
    eventually("the worker to log the signal", || async {
        worker.log().contains("signal=\"SIGTERM\"").then_some(())
    })
    .await;
    worker.assert_alive();
    worker
}

/// Asserts that no local activity, regular activity or workflow task was attempted twice. A second attempt at a
/// workflow task would repeat its local activities.
async fn assert_nothing_retried(stack: &Stack, accepted: &AcceptedSubmission) {
    let counts = history::count_by_type(&history::events(stack, accepted).await);
    let retried: Vec<_> = counts
        .keys()
        .filter(|kind| kind.ends_with("_TASK_TIMED_OUT") || kind.ends_with("_TASK_FAILED"))
        .collect();
    assert!(retried.is_empty(), "{counts:?}");
}

#[tokio::test]
async fn a_running_poll_finishes_in_the_same_attempt_before_the_worker_exits() {
    let (mut stack, accepted) =
        hold_worker_at(Failpoint::BeforePoll, StackOptions::default()).await;
    // The test waits for the result because a poll that finds no result would be followed by another poll.
    let finished = |all: &[ExecutionRecord]| all[0].finished_at;
    stack.loopai.wait_for(finished, LIMIT).await.expect("a finished execution");
    let boundary = Failpoint::AfterPollAnswered;
    stack.failpoints.arm(boundary);
    stack.failpoints.release(Failpoint::BeforePoll);
    stack.failpoints.wait_until_reached(boundary).await;
    let worker = request_stop(&mut stack).await;
    let polls = |stack: &Stack| stack.loopai.executions()[0].polls;
    let polls_before = polls(&stack);

    stack.failpoints.release(boundary);
    worker.stop().await;

    let document = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(document["status"], "completed", "the stopping worker did not record the result");
    stack.start_worker().await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    assert_eq!(polls(&stack), polls_before, "the workflow polled LoopAI again");
    assert_nothing_retried(&stack, &accepted).await;
    assert_eq!(stack.mail.mails_to("ana@example.org").len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_running_activity_finishes_in_the_same_attempt_before_the_worker_exits() {
    // The scenario makes the local activity fail, so a regular activity sends the request.
    let boundary = Failpoint::AfterRequestAnswered;
    let options = StackOptions::default().scenario("diagnose=503*1, delay=100ms");
    let (mut stack, accepted) = hold_worker_at(boundary, options).await;
    let worker = request_stop(&mut stack).await;

    stack.failpoints.release(boundary);
    worker.stop().await;

    let document = stack.client.status(&accepted).await.expect("a response");
    assert_ne!(document["status"], "pending", "the stopping worker did not record the execution");
    stack.start_worker().await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    let events = history::events(&stack, &accepted).await;
    let attempts: Vec<_> = events.iter().filter_map(history::activity_attempt).collect();
    assert_eq!(attempts, [1]);
    assert_nothing_retried(&stack, &accepted).await;
    assert_eq!(stack.loopai.executions()[0].creations, 1);
    stack.stop().await;
}

/// Asserts that a worker exits even though its activity never finishes, and that another worker completes the run.
async fn assert_grace_period_is_honoured(boundary: Failpoint, options: StackOptions) {
    let options = options.with("WORKER_SHUTDOWN_TIMEOUT_SECONDS", "1");
    let (mut stack, accepted) = hold_worker_at(boundary, options).await;

    request_stop(&mut stack).await.stop().await;

    stack.failpoints.release(boundary);
    stack.start_worker().await;
    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    assert_eq!(stack.loopai.executions().len(), 1);
    assert_eq!(stack.mail.mails_to("ana@example.org").len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_hung_poll_delays_shutdown_by_the_grace_period_only() {
    assert_grace_period_is_honoured(Failpoint::AfterPollAnswered, StackOptions::default()).await;
}

#[tokio::test]
async fn a_hung_activity_delays_shutdown_by_the_grace_period_only() {
    let options = StackOptions::default().scenario("diagnose=503*1, delay=100ms");
    assert_grace_period_is_honoured(Failpoint::AfterRequestAnswered, options).await;
}

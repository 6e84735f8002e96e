//! The API or the worker is asked to end: what is under way is brought to its end before, for a while. How event
//! streams end then stands in `stream.rs`; e-mails, in `mail/interrupted.rs`.

use diagflow_store::Failpoint;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::process::Process;
use diagflow_tests::{Accepted, ApiClient, Stack, StackOptions, eventually, history, photos};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Reads on until `enough`, or to the end.
async fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !enough(&text) {
        let read = timeout(LIMIT, stream.read(&mut bytes)).await.expect("more in time");
        match read.expect("unbroken") {
            0 => break,
            count => text += std::str::from_utf8(&bytes[..count]).expect("text"),
        }
    }
    text
}

#[tokio::test]
async fn a_submission_that_is_half_sent_is_taken_and_answered_before_the_process_ends() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let body = ApiClient::body("ana@example.org", "itches", &[photos::retina()]).to_string();
    let (first_half, second_half) = body.split_at(body.len() / 2);
    let address = stack.client.address("").replace("http://", "");
    let mut upload = TcpStream::connect(&address).await.expect("connects");
    // So that the API says when it reads.
    let head = format!(
        "POST /api/user/submit HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    upload.write_all(head.as_bytes()).await.expect("sends");
    let asked = read_until(&mut upload, |text| text.ends_with("\r\n\r\n")).await;
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
    upload.write_all(first_half.as_bytes()).await.expect("sends");

    let api = stack.api.take().expect("is running");
    api.ask_to_stop();
    eventually("the API to take nobody else", || async {
        TcpStream::connect(&address).await.err()
    })
    .await;
    upload.write_all(second_half.as_bytes()).await.expect("sends");

    let answer = read_until(&mut upload, |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    api.stopped().await;
    let stored = stack.database.texts("SELECT id FROM submissions").await;
    assert_eq!(stored.len(), 1);
    assert!(answer.contains(&stored[0]), "{answer}");
    stack.stop().await;
}

/// A submission whose worker is held at `boundary`.
async fn held_at(boundary: Failpoint, options: StackOptions) -> (Stack, Accepted) {
    let stack = Stack::with(options).await;
    stack.failpoints.arm(boundary);
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.reached(boundary).await;
    (stack, accepted)
}

/// Asks the worker to end, and waits until it has heard that.
async fn ask_to_end(stack: &mut Stack) -> Process {
    let mut worker = stack.worker.take().expect("is running");
    worker.ask_to_stop();
    eventually("the worker to have heard", || async {
        worker.log().contains("SIGTERM: ending").then_some(())
    })
    .await;
    worker.assert_alive();
    worker
}

/// No step of the run was tried twice: neither local activities, of which markers tell, nor ordinary ones, nor
/// workflow tasks, which would take local ones along.
async fn nothing_was_tried_again(stack: &Stack, accepted: &Accepted) {
    let counts = history::count(&history::events(stack, accepted).await);
    let again: Vec<_> = counts
        .keys()
        .filter(|kind| kind.ends_with("_TASK_TIMED_OUT") || kind.ends_with("_TASK_FAILED"))
        .collect();
    assert!(again.is_empty(), "{counts:?}");
}

#[tokio::test]
async fn a_look_that_is_under_way_ends_in_the_same_attempt_before_the_worker_does() {
    let boundary = Failpoint::LookAnswered;
    let (mut stack, accepted) = held_at(boundary, StackOptions::default()).await;
    let worker = ask_to_end(&mut stack).await;
    let polls = |stack: &Stack| stack.loopai.executions()[0].polls;
    let looked = polls(&stack);

    stack.failpoints.release(boundary);
    worker.stopped().await;

    let document = stack.client.status(&accepted).await.expect("an answer");
    assert_eq!(document["status"], "completed", "by the worker that was asked to end");
    stack.start_worker().await;
    assert_eq!(history::closed(&stack, &accepted).await, "Completed");
    assert_eq!(polls(&stack), looked, "nobody looked again");
    nothing_was_tried_again(&stack, &accepted).await;
    assert_eq!(stack.mail.mails_to("ana@example.org").len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn an_ordinary_activity_that_is_under_way_ends_in_the_same_attempt_before_the_worker_does() {
    // The local attempt is refused, so an ordinary activity asks.
    let boundary = Failpoint::RequestAnswered;
    let options = StackOptions::default().scenario("diagnose=503*1, delay=100ms");
    let (mut stack, accepted) = held_at(boundary, options).await;
    let worker = ask_to_end(&mut stack).await;

    stack.failpoints.release(boundary);
    worker.stopped().await;

    let document = stack.client.status(&accepted).await.expect("an answer");
    assert_ne!(document["status"], "pending", "the request was recorded");
    stack.start_worker().await;
    assert_eq!(history::closed(&stack, &accepted).await, "Completed");
    let events = history::events(&stack, &accepted).await;
    let attempts: Vec<_> = events.iter().filter_map(history::activity_attempt).collect();
    assert_eq!(attempts, [1]);
    nothing_was_tried_again(&stack, &accepted).await;
    assert_eq!(stack.loopai.executions()[0].creations, 1);
    stack.stop().await;
}

/// The worker goes although its activity does not end, and another one brings the run to its end.
async fn the_grace_is_over(boundary: Failpoint, options: StackOptions) {
    let options = options.with("WORKER_SHUTDOWN_SECONDS", "1");
    let (mut stack, accepted) = held_at(boundary, options).await;

    ask_to_end(&mut stack).await.stopped().await;

    // What one left that nobody is behind any more.
    stack.failpoints.release(boundary);
    stack.start_worker().await;
    stack.until(&accepted, "completed").await;
    assert_eq!(history::closed(&stack, &accepted).await, "Completed");
    assert_eq!(stack.loopai.executions().len(), 1);
    assert_eq!(stack.mail.mails_to("ana@example.org").len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_look_that_does_not_end_holds_the_worker_for_its_grace_only() {
    the_grace_is_over(Failpoint::LookAnswered, StackOptions::default()).await;
}

#[tokio::test]
async fn an_ordinary_activity_that_does_not_end_holds_the_worker_for_its_grace_only() {
    let options = StackOptions::default().scenario("diagnose=503*1, delay=100ms");
    the_grace_is_over(Failpoint::RequestAnswered, options).await;
}

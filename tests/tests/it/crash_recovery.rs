//! What was accepted comes to its end, whoever dies or is away meanwhile: exactly once.

use diagflow_tests::eventually::LIMIT;
use diagflow_tests::process::Process;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Accepted, Proxy, Stack, StackOptions, eventually, history, photos, servers};
use serde_json::Value;

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

async fn submit(stack: &Stack) -> Accepted {
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await
}

/// The submission completes; LoopAI ran once, one e-mail came, and the story has no gap.
async fn completes_exactly_once(stack: &Stack, submission: &Accepted) {
    stack.until(submission, "completed").await;
    assert_eq!(history::closed(stack, submission).await, "Completed");

    let executions = stack.loopai.executions();
    assert_eq!(executions.len(), 1, "{executions:?}");
    assert_eq!(executions[0].creations, 1);
    assert_eq!(stack.mail.mails_to("ana@example.org").len(), 1);
    let deliveries = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].status.to_string(), "sent");
    let runs = stack.store.runs(id_of(submission)).await.expect("runs");
    assert_eq!(runs.len(), 1, "{runs:?}");
    let events = stack.store.events(id_of(submission), 0).await.expect("events");
    let steps: Vec<_> = events.iter().map(|event| (event.number, event.step.name())).collect();
    let expected = ["received", "diagnosing", "completed", "result_ready", "mail_sent"];
    assert_eq!(steps, (1..).zip(expected).collect::<Vec<_>>());
}

/// Temporal's name of the first run; none while it waits to be started.
async fn temporal_run(stack: &Stack, submission: &Accepted) -> Option<String> {
    let runs = stack.store.runs(id_of(submission)).await.expect("runs");
    runs[0].temporal_run_id.clone()
}

/// Submits, lets LoopAI be looked at once, and takes the worker away by `end`. The diagnosis is then
/// finished while nobody looks.
async fn with_the_worker_gone_between_two_looks(end: impl AsyncFnOnce(Process)) {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "0.2,2");
    let mut stack = Stack::with(options).await;
    let submission = submit(&stack).await;
    let looked_at = |all: &[diagflow_simulators::loopai::ExecutionRecord]| {
        all.first().filter(|one| one.polls > 0).map(|one| one.execution_id.clone())
    };
    let execution = stack.loopai.wait_for(looked_at, LIMIT).await.expect("a look");

    end(stack.worker.take().expect("is running")).await;
    stack.loopai.complete(&execution).expect("is under way");
    let document = stack.client.status(&submission).await.expect("an answer");
    assert_eq!(document["status"], "processing", "nobody could see the end");
    stack.start_worker().await;

    completes_exactly_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_between_polls_is_followed_by_another() {
    with_the_worker_gone_between_two_looks(async |worker: Process| worker.stopped().await).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_between_polls_is_followed_by_another() {
    with_the_worker_gone_between_two_looks(async |worker: Process| worker.kill()).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_before_it_wrote_down_what_loopai_took_starts_nothing_twice() {
    let options = StackOptions::default().scenario("diagnose=accept+slow:20s*1, delay=100ms");
    let mut stack = Stack::with(options).await;
    let submission = submit(&stack).await;
    let taken = |all: &[diagflow_simulators::loopai::ExecutionRecord]| {
        all.first().map(|one| one.execution_id.clone())
    };
    let execution = stack.loopai.wait_for(taken, LIMIT).await.expect("a request");
    stack.worker.take().expect("is running").kill();
    let document = stack.client.status(&submission).await.expect("an answer");
    assert_eq!(document["status"], "pending", "nobody wrote it down");

    stack.start_worker().await;

    completes_exactly_once(&stack, &submission).await;
    let followed = &stack.loopai.executions()[0];
    assert_eq!(followed.execution_id, execution);
    assert!(followed.repeats >= 1 && followed.polls >= 1, "{followed:?}");
    stack.stop().await;
}

#[tokio::test]
async fn without_any_worker_a_submission_waits_for_one() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let submission = submit(&stack).await;
    eventually("the run to be started", || temporal_run(&stack, &submission)).await;
    let document = stack.client.status(&submission).await.expect("an answer");
    assert_eq!(document["status"], "pending");

    stack.start_worker().await;

    completes_exactly_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn what_a_killed_api_had_accepted_completes_after_its_restart() {
    let mut stack = Stack::start().await;
    let submission = submit(&stack).await;
    stack.api.take().expect("is running").kill();

    stack.start_api().await;

    completes_exactly_once(&stack, &submission).await;
    stack.stop().await;
}

/// An API that never reached Temporal accepts a submission and is killed.
async fn accepted_by_an_api_without_temporal(stack: &mut Stack) -> Accepted {
    stack.set("TEMPORAL_ADDRESS", NOWHERE);
    stack.start_api().await;
    let submission = submit(stack).await;
    stack.api.take().expect("is running").kill();
    assert_eq!(temporal_run(stack, &submission).await, None, "nobody could start it");
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    submission
}

#[tokio::test]
async fn a_run_that_was_never_started_is_started_by_the_next_process() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let submission = accepted_by_an_api_without_temporal(&mut stack).await;

    stack.start_api().await;
    stack.start_worker().await;

    completes_exactly_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_run_that_was_never_started_is_started_by_another_replica() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    // It is there all the time, but sweeps only what its owner left over.
    let (replica, other) = stack.start_replica().await;
    let submission = accepted_by_an_api_without_temporal(&mut stack).await;
    stack.client = other;

    stack.start_worker().await;

    completes_exactly_once(&stack, &submission).await;
    replica.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn while_temporal_is_away_submissions_are_accepted_and_they_run_when_it_is_back() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", temporal.address());
    let mut stack = Stack::with(options).await;
    let readiness = async |stack: &Stack| -> (u16, Value) {
        let answer = stack.client.get("/ready").await;
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    };
    assert_eq!(readiness(&stack).await.1["temporal"], "reachable");

    temporal.cut();
    let submission = submit(&stack).await;
    let (code, ready) = readiness(&stack).await;
    assert_eq!((code, &ready["temporal"]), (200, &"unreachable".into()), "{ready}");
    assert_eq!(temporal_run(&stack, &submission).await, None);
    // Even now it ends when it is asked to, and does not wait for Temporal.
    stack.api.take().expect("is running").stopped().await;
    stack.start_api().await;
    let log = stack.api.as_ref().expect("is running").log();
    assert!(log.contains("this process is ending"), "{log}");
    temporal.mend();

    completes_exactly_once(&stack, &submission).await;
    stack.stop().await;
}

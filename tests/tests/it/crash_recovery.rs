//! Tests that an accepted submission completes exactly once, even if a process is killed or unavailable in the
//! meantime.

use diagflow_tests::eventually::LIMIT;
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::process::Process;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Proxy, Stack, StackOptions, eventually, history, photos, servers,
};
use serde_json::Value;

async fn submit(stack: &Stack) -> AcceptedSubmission {
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await
}

/// Waits until the submission completes, and asserts that it has one execution, one e-mail and events without gaps.
async fn assert_completed_once(stack: &Stack, submission: &AcceptedSubmission) {
    stack.wait_for_status(submission, "completed").await;
    assert_eq!(history::wait_until_closed(stack, submission).await, "Completed");

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

/// Returns the first run's Temporal run id, or `None` if the run has not started yet.
async fn temporal_run(stack: &Stack, submission: &AcceptedSubmission) -> Option<String> {
    let runs = stack.store.runs(id_of(submission)).await.expect("runs");
    runs[0].temporal_run_id.clone()
}

/// Waits for the first poll, ends the worker with `end`, finishes the diagnosis, and starts a new worker.
async fn replace_worker_between_polls(end: impl AsyncFnOnce(Process)) {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "0.2,2");
    let mut stack = Stack::with(options).await;
    let submission = submit(&stack).await;
    let polled = |all: &[diagflow_simulators::loopai::ExecutionRecord]| {
        all.first().filter(|one| one.polls > 0).map(|one| one.execution_id.clone())
    };
    let execution = stack.loopai.wait_for(polled, LIMIT).await.expect("a poll");

    end(stack.worker.take().expect("running")).await;
    stack.loopai.complete(&execution).expect("in progress");
    let document = stack.client.status(&submission).await.expect("a response");
    assert_eq!(document["status"], "processing", "no worker could record the end of the diagnosis");
    stack.start_worker().await;

    assert_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn another_worker_takes_over_when_a_worker_is_stopped_between_polls() {
    replace_worker_between_polls(async |worker: Process| worker.stop().await).await;
}

#[tokio::test]
async fn another_worker_takes_over_when_a_worker_is_killed_between_polls() {
    replace_worker_between_polls(async |worker: Process| worker.kill()).await;
}

#[tokio::test]
async fn no_second_execution_starts_when_a_worker_is_killed_before_recording_the_first() {
    let options = StackOptions::default().scenario("diagnose=accept+slow:20s*1, delay=100ms");
    let mut stack = Stack::with(options).await;
    let submission = submit(&stack).await;
    let taken = |all: &[diagflow_simulators::loopai::ExecutionRecord]| {
        all.first().map(|one| one.execution_id.clone())
    };
    let execution = stack.loopai.wait_for(taken, LIMIT).await.expect("a request");
    stack.worker.take().expect("running").kill();
    let document = stack.client.status(&submission).await.expect("a response");
    assert_eq!(document["status"], "pending", "the killed worker has not recorded the execution");

    stack.start_worker().await;

    assert_completed_once(&stack, &submission).await;
    let followed = &stack.loopai.executions()[0];
    assert_eq!(followed.execution_id, execution);
    assert!(followed.repeats >= 1 && followed.polls >= 1, "{followed:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_waits_until_a_worker_is_available() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let submission = submit(&stack).await;
    eventually("the run to start", || temporal_run(&stack, &submission)).await;
    let document = stack.client.status(&submission).await.expect("a response");
    assert_eq!(document["status"], "pending");

    stack.start_worker().await;

    assert_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_accepted_before_the_api_was_killed_completes_after_a_restart() {
    let mut stack = Stack::start().await;
    let submission = submit(&stack).await;
    stack.api.take().expect("running").kill();

    stack.start_api().await;

    assert_completed_once(&stack, &submission).await;
    stack.stop().await;
}

/// Sends a submission to an API that cannot reach Temporal, and kills the API.
async fn accepted_by_an_api_without_temporal(stack: &mut Stack) -> AcceptedSubmission {
    stack.set("TEMPORAL_ADDRESS", NOWHERE);
    stack.start_api().await;
    let submission = submit(stack).await;
    stack.api.take().expect("running").kill();
    assert_eq!(temporal_run(stack, &submission).await, None, "the killed API has started the run");
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    submission
}

#[tokio::test]
async fn an_unstarted_run_is_started_by_the_restarted_api() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let submission = accepted_by_an_api_without_temporal(&mut stack).await;

    stack.start_api().await;
    stack.start_worker().await;

    assert_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_unstarted_run_is_started_by_another_replica() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    // The replica was already running when the submission arrived, so only its sweeper can find the unstarted run.
    let (replica, other) = stack.start_replica().await;
    let submission = accepted_by_an_api_without_temporal(&mut stack).await;
    stack.client = other;

    stack.start_worker().await;

    assert_completed_once(&stack, &submission).await;
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn submissions_are_accepted_during_a_temporal_outage_and_run_afterwards() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", temporal.address());
    let mut stack = Stack::with(options).await;
    let readiness = async |stack: &Stack| -> (u16, Value) {
        let response = stack.client.get("/ready").await;
        (response.status().as_u16(), response.json().await.expect("JSON"))
    };
    assert_eq!(readiness(&stack).await.1["temporal"], "reachable");

    temporal.cut();
    let submission = submit(&stack).await;
    let (code, ready) = readiness(&stack).await;
    assert_eq!((code, &ready["temporal"]), (200, &"unreachable".into()), "{ready}");
    assert_eq!(temporal_run(&stack, &submission).await, None);
    // The API shuts down gracefully even while Temporal is unavailable.
    stack.api.take().expect("running").stop().await;
    stack.start_api().await;
    temporal.restore();

    assert_completed_once(&stack, &submission).await;
    stack.stop().await;
}

//! Tests in which staff pause requests to LoopAI or e-mails while a real worker is running.

use diagflow_simulators::loopai::ExecutionRecord;
use diagflow_store::Role;
use diagflow_tests::assertions::{
    UnsuccessfulEnd, delivery, mails, steps, timed_out, wait_completed_once, wait_ended_once,
};
use diagflow_tests::responses::body;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos};
use serde_json::{Value, json};
use temporalio_client::WorkflowDescribeOptions;

async fn set_paused(staff: &Staff, target: &str, paused: bool) -> Value {
    let request = json!({"paused": paused, "reason": "LoopAI is being updated"});
    body(staff.put(&format!("/api/admin/pauses/{target}"), &request).await).await
}

async fn submit(stack: &Stack) -> AcceptedSubmission {
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await
}

/// Waits until the last attempt at the run's pending activity has failed with `code`.
async fn wait_for_pending_failure(stack: &Stack, submission: &AcceptedSubmission, code: &str) {
    let handle = history::workflow_handle(stack, submission).await;
    eventually(format!("an activity to fail with {code}"), || async {
        let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
        let pending = description.raw().pending_activities.first()?;
        (pending.last_failure.as_ref()?.message == code).then_some(())
    })
    .await;
}

/// Waits until the run has skipped at least `times` polls.
async fn wait_for_skipped_polls(stack: &Stack, submission: &AcceptedSubmission, times: usize) {
    eventually(format!("{times} skipped polls"), || async {
        let events = history::events(stack, submission).await;
        let skipped = events.iter().filter(|event| format!("{event:?}").contains("loopai_paused"));
        (skipped.count() >= times).then_some(())
    })
    .await;
}

fn only_execution(stack: &Stack) -> ExecutionRecord {
    let executions = stack.loopai.executions();
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    execution.clone()
}

#[tokio::test]
async fn nothing_is_requested_during_a_pause_and_patients_see_why_they_wait() {
    let stack = Stack::with(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    set_paused(&operator, "loopai_requests", true).await;
    let (first, second) = (submit(&stack).await, submit(&stack).await);

    for submission in [&first, &second] {
        wait_for_pending_failure(&stack, submission, "loopai_paused").await;
    }

    assert_eq!(stack.loopai.requests().len(), 0);
    let mut positions = Vec::new();
    for submission in [&first, &second] {
        let status = stack.client.status(submission).await.expect("a status");
        assert_eq!((&status["status"], &status["step"]), (&json!("pending"), &json!("waiting")));
        assert_eq!(status["waiting_reason"], "paused", "{status}");
        assert!(status["message"].as_str().expect("text").contains("paused"), "{status}");
        assert!(status["deadline_at"].is_string(), "{status}");
        positions.push(status["queue_position"].as_i64());
    }
    positions.sort_unstable();
    assert_eq!(positions, [Some(1), Some(2)]);
    let ready = body(stack.client.get("/ready").await).await;
    assert_eq!(
        (&ready["status"], &ready["paused"]),
        (&json!("ready"), &json!(["loopai_requests"]))
    );
    let metrics = stack.client.get("/metrics").await.text().await.expect("text");
    for line in
        ["diagflow_paused{target=\"loopai_requests\"} 1", "diagflow_paused{target=\"emails\"} 0"]
    {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }

    set_paused(&operator, "loopai_requests", false).await;

    for submission in [&first, &second] {
        let status = wait_completed_once(&stack, submission).await;
        for name in ["waiting_reason", "queue_position", "usually_seconds", "deadline_at"] {
            assert!(status[name].is_null(), "{name}: {status}");
        }
        assert_eq!(steps(&stack, submission).await[..3], ["received", "waiting", "diagnosing"]);
    }
    stack.stop().await;
}

#[tokio::test]
async fn executions_are_not_polled_during_a_pause() {
    let options = StackOptions::default().scenario("stuck");
    let (stack, submission) = Stack::with_submission(options).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let execution = stack.wait_for_polls(1).await;

    set_paused(&operator, "loopai_requests", true).await;

    // A poll may have been in progress when the pause began. Polls of a run follow one another.
    wait_for_skipped_polls(&stack, &submission, 1).await;
    let polls = only_execution(&stack).polls;
    wait_for_skipped_polls(&stack, &submission, 4).await;
    assert_eq!(only_execution(&stack).polls, polls);
    let status = stack.client.status(&submission).await.expect("a status");
    assert_eq!(
        (&status["status"], &status["waiting_reason"]),
        (&json!("processing"), &json!("paused"))
    );
    stack.loopai.complete(&execution).expect("in progress");
    set_paused(&operator, "loopai_requests", false).await;
    wait_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn the_final_poll_waits_for_the_end_of_the_pause() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_DEADLINE_SECONDS", "6");
    let (stack, submission) = Stack::with_submission(options).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let execution = stack.wait_for_polls(1).await;
    set_paused(&operator, "loopai_requests", true).await;
    stack.loopai.complete(&execution).expect("in progress");

    // Only the final poll, at the deadline, is a regular activity.
    wait_for_pending_failure(&stack, &submission, "loopai_paused").await;

    let status = stack.client.status(&submission).await.expect("a status");
    assert_eq!(status["status"], "processing");
    set_paused(&operator, "loopai_requests", false).await;
    wait_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_that_times_out_during_a_pause_shows_the_pause_as_its_cause() {
    let options = StackOptions::default().with("DIAGNOSIS_DEADLINE_SECONDS", "4");
    let stack = Stack::with(options).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    set_paused(&operator, "loopai_requests", true).await;
    let submission = submit(&stack).await;

    let end = UnsuccessfulEnd { code: "loopai_paused", ..timed_out() };
    wait_ended_once(&stack, &submission, end).await;

    assert_eq!(stack.loopai.requests().len(), 0);
    let list = "/api/admin/submissions?status=timed_out&error_code=loopai_paused";
    let list = body(operator.get(list).await).await;
    assert_eq!(list["pagination"]["total"], 1, "{list}");
    stack.stop().await;
}

#[tokio::test]
async fn emails_stay_planned_during_a_pause_and_are_sent_afterwards() {
    let stack = Stack::with(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    set_paused(&operator, "emails", true).await;
    let submission = submit(&stack).await;

    stack.wait_for_status(&submission, "completed").await;
    wait_for_pending_failure(&stack, &submission, "emails_paused").await;

    assert_eq!(delivery(&stack, &submission).await.status.to_string(), "planned");
    assert!(mails(&stack, &submission).is_empty());
    set_paused(&operator, "emails", false).await;
    wait_completed_once(&stack, &submission).await;
    stack.stop().await;
}

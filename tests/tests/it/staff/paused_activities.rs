//! Tests in which operators use Temporal to pause, change and complete activities and to reset runs.

use diagflow_store::Role;
use diagflow_tests::assertions::{cancelled, steps, wait_completed_once};
use diagflow_tests::responses::{body, outcome};
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos, temporal_cli,
};
use diagflow_workflows::SubmissionRef;
use serde_json::{Value, json};

async fn pending_activity(staff: &Staff, submission: &AcceptedSubmission) -> Value {
    let path = format!("/api/admin/submissions/{}/history", submission.submission_id);
    body(staff.get(&path).await).await["runs"][0]["pending"][0].clone()
}

/// Sends a submission while LoopAI is unavailable and waits until the request is retried. Returns the submission and
/// the pending activity.
async fn retried_request(stack: &Stack, staff: &Staff) -> (AcceptedSubmission, Value) {
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let waiting = eventually("a retried request", || async {
        let pending = pending_activity(staff, &accepted).await;
        (pending["attempt"].as_i64()? >= 2).then_some(pending)
    })
    .await;
    (accepted, waiting)
}

#[tokio::test]
async fn a_request_that_an_operator_completes_with_an_unknown_result_is_repeated() {
    let stack = Stack::with(StackOptions::default().scenario("diagnose=503")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let (accepted, waiting) = retried_request(&stack, &staff).await;

    let id = SubmissionRef::new(&accepted.submission_id).workflow_id();
    let activity = waiting["activity_id"].as_str().expect("an id");
    temporal_cli::activity("complete", &id, activity, &["--result", r#""unknown""#]).await;
    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_paused_activity_is_described_as_paused() {
    let stack = Stack::with(StackOptions::default().scenario("diagnose=503")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let (accepted, waiting) = retried_request(&stack, &staff).await;
    assert_eq!(waiting["pause"], Value::Null, "{waiting}");
    let id = SubmissionRef::new(&accepted.submission_id).workflow_id();
    let activity = waiting["activity_id"].as_str().expect("an id");

    let reason = ["--reason", "maintenance", "--identity", "ana@laptop"];
    temporal_cli::activity("pause", &id, activity, &reason).await;

    let paused = eventually("the activity to be paused", || async {
        let pending = pending_activity(&staff, &accepted).await;
        (pending["state"] == "paused").then_some(pending)
    })
    .await;
    assert_eq!(
        (&paused["pause"]["reason"], &paused["pause"]["by"], &paused["next_attempt_at"]),
        (&json!("maintenance"), &json!("ana@laptop"), &Value::Null)
    );
    assert_eq!(paused["last_failure"]["type"], "loopai_unavailable", "{paused}");
    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    temporal_cli::activity("unpause", &id, activity, &[]).await;
    stack.wait_for_status(&accepted, "completed").await;
    stack.stop().await;
}

#[tokio::test]
async fn changed_options_of_an_activity_are_shown() {
    let stack = Stack::with(StackOptions::default().scenario("diagnose=503")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let (accepted, waiting) = retried_request(&stack, &staff).await;
    assert_eq!(waiting["changed_options"], Value::Null, "{waiting}");
    let id = SubmissionRef::new(&accepted.submission_id).workflow_id();
    let activity = waiting["activity_id"].as_str().expect("an id");

    let options = ["--schedule-to-close-timeout", "2h", "--retry-maximum-attempts", "1000"];
    temporal_cli::activity("update-options", &id, activity, &options).await;

    let changed = pending_activity(&staff, &accepted).await["changed_options"].take();
    assert_eq!(changed["schedule_to_close_seconds"], 7200.0, "{changed}");
    assert_eq!(changed["maximum_attempts"], 1000, "{changed}");
    // Unchanged options are included.
    let unchanged = ["start_to_close_seconds", "initial_interval_seconds", "backoff_coefficient"];
    assert_eq!(unchanged.map(|name| changed[name].as_f64()), [Some(45.0), Some(2.0), Some(2.0)]);
    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_reset_does_not_undo_an_accepted_cancellation() {
    let options =
        StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "604800");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    temporal_cli::wait_for_history(&accepted, &["EVENT_TYPE_TIMER_STARTED"]).await;
    stack.worker.take().expect("a running process").stop().await;
    let path = format!("/api/admin/submissions/{}/cancel", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "a mistake"})).await;
    assert_eq!(outcome(response).await, (202, "cancelling".to_owned()));
    let cancel = "EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED";
    temporal_cli::wait_for_history(&accepted, &[cancel]).await;

    let reset = ["--type", "FirstWorkflowTask", "--reapply-exclude", "All", "--reason", "a test"];
    temporal_cli::submission_workflow("reset", &accepted, &reset).await;
    stack.start_worker().await;

    stack.wait_for_status(&accepted, cancelled().status).await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, cancelled().run);
    let runs = stack.store.runs(id_of(&accepted)).await.expect("runs");
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.finished_at.is_some()), "{runs:#?}");
    let last = steps(&stack, &accepted).await;
    assert!(last.contains(&"cancelled"), "{last:?}");
    stack.stop().await;
}

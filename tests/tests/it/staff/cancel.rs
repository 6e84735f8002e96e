//! Tests in which staff cancel a submission.

use diagflow_store::Role;
use diagflow_tests::assertions::{
    cancelled, executions, failed, mails, wait_completed_once, wait_ended_once,
};
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::responses::{outcome, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Proxy, Stack, StackOptions, Staff, eventually, history, photos, servers,
    temporal_cli,
};
use serde_json::{Value, json};

fn path(submission: &AcceptedSubmission) -> String {
    format!("/api/admin/submissions/{}/cancel", submission.submission_id)
}

fn reason_body() -> Value {
    json!({"reason": "sent by mistake"})
}

async fn audit_entries(stack: &Stack, submission: &AcceptedSubmission) -> Vec<String> {
    let query = format!(
        "SELECT CONCAT_WS(' ', action, result, details) FROM audit WHERE object_id = '{}' ORDER BY number",
        submission.submission_id
    );
    stack.database.audit_rows(&query).await
}

#[tokio::test]
async fn a_running_submission_is_cancelled_once_despite_repeated_requests() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.wait_for_status(&accepted, "processing").await;

    for bad in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(501)})] {
        let response = staff.post(&path(&accepted), &bad).await;
        assert_eq!(refusal(response).await, (400, "reason_required".to_owned()));
    }
    let (path, why) = (path(&accepted), reason_body());
    let (first, second) = tokio::join!(staff.post(&path, &why), staff.post(&path, &why));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (202, 202));

    wait_ended_once(&stack, &accepted, cancelled()).await;
    let again = staff.post(&path, &why).await;
    assert_eq!(outcome(again).await, (202, "cancelled".to_owned()));
    let entry =
        |outcome: &str| format!(r#"submission_cancel {outcome} {{"reason":"sent by mistake"}}"#);
    let entries = audit_entries(&stack, &accepted).await;
    assert_eq!(
        (&entries[0], &entries[2], entries.len()),
        (&entry("success"), &entry("unchanged"), 3)
    );
    // The result of the second request depends on whether the run has already ended.
    assert!([entry("in_progress"), entry("unchanged")].contains(&entries[1]), "{entries:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_finished_or_missing_submission_cannot_be_cancelled() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_completed_once(&stack, &accepted).await;

    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(refusal(response).await, (409, "already_final".to_owned()));
    let refused = audit_entries(&stack, &accepted).await;
    assert!(refused[0].starts_with("submission_cancel already_final"), "{refused:?}");

    stack.database.execute("UPDATE submissions SET deleted_at = NOW(6)").await;
    for path in [path(&accepted), "/api/admin/submissions/none/cancel".to_owned()] {
        let response = staff.post(&path, &reason_body()).await;
        assert_eq!(refusal(response).await, (404, "not_found".to_owned()), "{path}");
    }
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let response = clinician.post(&path(&accepted), &reason_body()).await;
    assert_eq!(refusal(response).await, (403, "forbidden".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn a_cancellation_survives_a_temporal_outage_and_a_killed_api() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default()
        .scenario("stuck")
        .with("TEMPORAL_ADDRESS", temporal.address())
        .with("DIAGNOSIS_POLL_SECONDS", "600");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.wait_for_status(&accepted, "processing").await;

    temporal.cut();
    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "cancelling".to_owned()));
    let claimed = "SELECT COUNT(*) FROM runs WHERE cancel_after > NOW(6) + INTERVAL 5 SECOND";
    eventually("an attempt to reach Temporal", || async {
        (stack.database.number(claimed).await == 1).then_some(())
    })
    .await;
    stack.api.take().expect("running").kill();
    // Expires the killed API's lease so that the next process does not have to wait for it.
    stack
        .database
        .execute("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;
    assert_eq!(stack.database.number("SELECT COUNT(cancel_after) FROM runs").await, 1);
    stack.start_api().await;
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "processing");
    temporal.restore();

    wait_ended_once(&stack, &accepted, cancelled()).await;
    assert_eq!(stack.database.number("SELECT COUNT(cancel_after) FROM runs").await, 0);
    stack.stop().await;
}

#[tokio::test]
async fn cancelling_an_unstarted_submission_sends_no_request_and_one_email() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.set("TEMPORAL_ADDRESS", NOWHERE);
    stack.start_api().await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "cancelled".to_owned()));
    let document = stack.wait_for_status(&accepted, "cancelled").await;
    assert_eq!(document["error"]["code"], "cancelled");
    stack.api.take().expect("running").stop().await;
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    stack.start_api().await;
    stack.start_worker().await;

    eventually("the e-mail to the patient to be sent", || async { mails(&stack, &accepted).pop() })
        .await;
    eventually("the ledger to be updated", || async {
        let deliveries = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        (deliveries.len() == 1 && deliveries[0].status.to_string() == "sent").then_some(())
    })
    .await;
    assert_eq!(mails(&stack, &accepted)[0].subject, "Your submission was cancelled");
    assert!(stack.loopai.requests().is_empty());
    let runs = stack.store.runs(id_of(&accepted)).await.expect("runs");
    assert_eq!(runs[0].temporal_run_id, None, "the cancelled run was started");
    stack.stop().await;
}

/// Cancels a submission while the API, but not the worker, is cut off from Temporal.
async fn cancelled_while_temporal_is_unreachable() -> (Stack, AcceptedSubmission, Proxy) {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;
    stack.api.take().expect("running").stop().await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    stack.start_api().await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    temporal.cut();
    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "cancelling".to_owned()));
    (stack, accepted, temporal)
}

#[tokio::test]
async fn a_run_terminated_before_its_cancellation_ends_as_cancelled() {
    let (stack, accepted, temporal) = cancelled_while_temporal_is_unreachable().await;
    temporal_cli::submission_workflow("terminate", &accepted, &["--reason", "a test"]).await;
    temporal.restore();
    // Expires the failed attempt's lease so that the next attempt does not have to wait for it.
    stack
        .database
        .execute("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;

    let document = stack.wait_for_status(&accepted, "cancelled").await;
    assert_eq!(document["error"]["code"], "cancelled");
    eventually("the e-mail to the patient to be sent", || async { mails(&stack, &accepted).pop() })
        .await;
    assert_eq!(mails(&stack, &accepted)[0].subject, "Your submission was cancelled");
    stack.stop().await;
}

#[tokio::test]
async fn a_failed_run_cannot_be_cancelled() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default().scenario("fail")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let response = staff.post(&path(&accepted), &reason_body()).await;

    assert_eq!(refusal(response).await, (409, "already_final".to_owned()));
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Failed");
    assert_eq!(executions(&stack, &accepted).len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_that_fails_before_the_cancellation_arrives_stays_failed() {
    let (stack, accepted, temporal) = cancelled_while_temporal_is_unreachable().await;
    let execution = stack.wait_for_polls(0).await;
    stack.loopai.fail(&execution, "no").expect("in progress");
    temporal_cli::submission_workflow("signal", &accepted, &["--name", "execution_changed"]).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    temporal.restore();
    stack
        .database
        .execute("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;

    eventually("the cancellation to be settled", || async {
        let open = stack.database.number("SELECT COUNT(cancel_after) FROM runs").await;
        (open == 0).then_some(())
    })
    .await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    stack.stop().await;
}

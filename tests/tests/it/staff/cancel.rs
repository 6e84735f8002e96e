//! Staff call a submission off.

use diagflow_store::Role;
use diagflow_tests::invariants::{
    cancelled, completed_once, ended_once, executions, failed, mails,
};
use diagflow_tests::stack::id_of;
use diagflow_tests::staff::{outcome, refusal};
use diagflow_tests::{
    Accepted, Proxy, Stack, StackOptions, Staff, eventually, history, operator, photos, servers,
};
use serde_json::{Value, json};

fn path(submission: &Accepted) -> String {
    format!("/api/admin/submissions/{}/cancel", submission.submission_id)
}

fn because() -> Value {
    json!({"reason": "sent by mistake"})
}

/// The lines of the audit about a submission.
async fn lines(stack: &Stack, submission: &Accepted) -> Vec<String> {
    let query = format!(
        "SELECT CONCAT_WS(' ', action, result, details) FROM audit WHERE object_id = '{}' ORDER BY number",
        submission.submission_id
    );
    stack.database.audited(&query).await
}

#[tokio::test]
async fn what_goes_on_is_called_off_once_however_often_it_is_asked() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.until(&accepted, "processing").await;

    for bad in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(501)})] {
        let answer = staff.post(&path(&accepted), &bad).await;
        assert_eq!(refusal(answer).await, (400, "reason_required".to_owned()));
    }
    let (path, why) = (path(&accepted), because());
    let (first, second) = tokio::join!(staff.post(&path, &why), staff.post(&path, &why));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (202, 202));

    ended_once(&stack, &accepted, cancelled()).await;
    let again = staff.post(&path, &why).await;
    assert_eq!(outcome(again).await, (202, "cancelled".to_owned()));
    let line = |came: &str| format!(r#"submission_cancel {came} {{"reason":"sent by mistake"}}"#);
    let told = lines(&stack, &accepted).await;
    assert_eq!((&told[0], &told[2], told.len()), (&line("done"), &line("unchanged"), 3));
    // Unless the run was faster.
    assert!([line("under_way"), line("unchanged")].contains(&told[1]), "{told:?}");
    stack.stop().await;
}

#[tokio::test]
async fn what_has_ended_or_is_not_there_cannot_be_called_off() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    completed_once(&stack, &accepted).await;

    let answer = staff.post(&path(&accepted), &because()).await;
    assert_eq!(refusal(answer).await, (409, "already_final".to_owned()));
    let refused = lines(&stack, &accepted).await;
    assert!(refused[0].starts_with("submission_cancel already_final"), "{refused:?}");

    stack.database.run("UPDATE submissions SET deleted_at = NOW(6)").await;
    for path in [path(&accepted), "/api/admin/submissions/none/cancel".to_owned()] {
        let answer = staff.post(&path, &because()).await;
        assert_eq!(refusal(answer).await, (404, "not_found".to_owned()), "{path}");
    }
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let answer = clinician.post(&path(&accepted), &because()).await;
    assert_eq!(refusal(answer).await, (403, "forbidden".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn a_wish_outlives_the_absence_of_temporal_and_the_death_of_the_api() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default()
        .scenario("stuck")
        .with("TEMPORAL_ADDRESS", temporal.address())
        .with("DIAGNOSIS_POLL_SECONDS", "600");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.until(&accepted, "processing").await;

    temporal.cut();
    let answer = staff.post(&path(&accepted), &because()).await;
    assert_eq!(outcome(answer).await, (202, "cancelling".to_owned()));
    eventually("an attempt to tell Temporal to fail", || async {
        let log = stack.api.as_ref().expect("is running").log();
        log.contains("not passed on to Temporal yet").then_some(())
    })
    .await;
    stack.api.take().expect("is running").kill();
    // As if its lease were over: who comes next need not wait for it.
    stack
        .database
        .run("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;
    assert_eq!(stack.database.number("SELECT COUNT(cancel_after) FROM runs").await, 1);
    stack.start_api().await;
    assert_eq!(stack.client.status(&accepted).await.expect("an answer")["status"], "processing");
    temporal.mend();

    ended_once(&stack, &accepted, cancelled()).await;
    assert_eq!(stack.database.number("SELECT COUNT(cancel_after) FROM runs").await, 0);
    stack.stop().await;
}

#[tokio::test]
async fn what_has_not_begun_ends_without_a_request_to_loopai_and_the_patient_is_told_once() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.set("TEMPORAL_ADDRESS", "127.0.0.1:1");
    stack.start_api().await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let answer = staff.post(&path(&accepted), &because()).await;
    assert_eq!(outcome(answer).await, (202, "cancelled".to_owned()));
    let document = stack.until(&accepted, "cancelled").await;
    assert_eq!(document["error"]["code"], "cancelled");
    stack.api.take().expect("is running").stopped().await;
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    stack.start_api().await;
    stack.start_worker().await;

    eventually("the patient to be told", || async { mails(&stack, &accepted).pop() }).await;
    eventually("the ledger to say so", || async {
        let deliveries = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        (deliveries.len() == 1 && deliveries[0].status.to_string() == "sent").then_some(())
    })
    .await;
    assert_eq!(mails(&stack, &accepted)[0].subject, "Your submission was cancelled");
    assert!(stack.loopai.requests().is_empty());
    let runs = stack.store.runs(id_of(&accepted)).await.expect("runs");
    assert_eq!(runs[0].temporal_run_id, None, "nothing was started for it");
    stack.stop().await;
}

/// A run that is under way, and that staff call off while the API does not reach Temporal; the worker does.
async fn called_off_while_temporal_is_away() -> (Stack, Accepted, Proxy) {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    stack.until(&accepted, "processing").await;
    stack.api.take().expect("is running").stopped().await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    stack.start_api().await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    temporal.cut();
    let answer = staff.post(&path(&accepted), &because()).await;
    assert_eq!(outcome(answer).await, (202, "cancelling".to_owned()));
    (stack, accepted, temporal)
}

#[tokio::test]
async fn a_run_that_was_terminated_meanwhile_ends_as_it_was_wished() {
    let (stack, accepted, temporal) = called_off_while_temporal_is_away().await;
    operator::act("terminate", &accepted, &["--reason", "a test"]).await;
    temporal.mend();
    // As if the lease of the attempt that failed were over.
    stack
        .database
        .run("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;

    let document = stack.until(&accepted, "cancelled").await;
    assert_eq!(document["error"]["code"], "cancelled");
    eventually("the patient to be told", || async { mails(&stack, &accepted).pop() }).await;
    assert_eq!(mails(&stack, &accepted)[0].subject, "Your submission was cancelled");
    stack.stop().await;
}

#[tokio::test]
async fn a_run_that_fails_while_it_is_called_off_stays_failed() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default().scenario("fail")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let answer = staff.post(&path(&accepted), &because()).await;

    assert_eq!(refusal(answer).await, (409, "already_final".to_owned()));
    assert_eq!(history::closed(&stack, &accepted).await, "Failed");
    assert_eq!(executions(&stack, &accepted).len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_that_fails_before_temporal_hears_of_the_wish_stays_failed() {
    let (stack, accepted, temporal) = called_off_while_temporal_is_away().await;
    let execution = stack.looked_at(0).await;
    stack.loopai.fail(&execution, "no").expect("at work");
    operator::act("signal", &accepted, &["--name", "execution_changed"]).await;
    ended_once(&stack, &accepted, failed("loopai_failed")).await;
    temporal.mend();
    stack
        .database
        .run("UPDATE runs SET cancel_after = NOW(6) WHERE cancel_after IS NOT NULL")
        .await;

    eventually("the wish to be settled", || async {
        let open = stack.database.number("SELECT COUNT(cancel_after) FROM runs").await;
        (open == 0).then_some(())
    })
    .await;
    ended_once(&stack, &accepted, failed("loopai_failed")).await;
    stack.stop().await;
}

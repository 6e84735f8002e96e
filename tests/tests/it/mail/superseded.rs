//! Tests in which staff retry a submission while its e-mail is being sent and the mail server then defers the e-mail.
//! The new run supersedes the e-mail, so it must not be retried.

use diagflow_simulators::mail::{Rule, Script, Step};
use diagflow_store::{Delivery, Failpoint, Role};
use diagflow_tests::assertions::{executions, mails};
use diagflow_tests::responses::outcome;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, temporal_cli,
};
use diagflow_workflows::{DeliveryRef, DeliveryWorkflow};
use serde_json::json;
use temporalio_client::WorkflowDescribeOptions;

/// Creates a failed submission that staff retried while its e-mail was being sent. The mail server has deferred the
/// e-mail, but the deferral has not been recorded in the ledger yet. LoopAI follows `scenario`.
async fn retried_during_its_email(scenario: &str) -> (Stack, AcceptedSubmission) {
    let mut options = StackOptions::default().scenario(scenario);
    let refusals = [
        // After the first deferral, the e-mail is retried in a regular activity. The run can then close and leave the
        // e-mail to a delivery workflow.
        Rule::reply(Step::Rcpt, 451, "4.7.1 Later").times(1),
        Rule::reply(Step::Body, 452, "4.3.1 Insufficient storage").times(1),
    ];
    options.mail.script = Script::new(refusals.to_vec()).expect("a script");
    let mut stack = Stack::without_processes(options).await;
    stack.failpoints.arm(Failpoint::AfterMailAccepted);
    stack.start_api().await;
    stack.start_worker().await;
    let photo = diagflow_tests::photos::retina();
    let accepted = stack.client.submit("ana@example.org", "itches", &[photo]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterMailAccepted).await;

    let staff = Staff::with_role(&stack, Role::Operator).await;
    let retry = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    let response = staff.post(&retry, &json!({"reason": "LoopAI was down"})).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));
    assert_eq!(
        ledger(&stack, &accepted).await[0].status.to_string(),
        "sending",
        "the retry changed the status of an e-mail that is being sent"
    );
    (stack, accepted)
}

async fn ledger(stack: &Stack, submission: &AcceptedSubmission) -> Vec<Delivery> {
    stack.store.deliveries(id_of(submission)).await.expect("deliveries")
}

/// Lets the worker record that the old e-mail was deferred, retries the e-mail, and waits until it is settled. The
/// Temporal CLI starts the retry, which would otherwise not begin until the first sender's claim expires.
async fn retry_old_email(stack: &Stack, submission: &AcceptedSubmission) {
    let old = ledger(stack, submission).await.remove(0);
    let id = DeliveryRef::new(old.id).workflow_id();
    let standalone = stack.temporal().await.get_workflow_handle::<DeliveryWorkflow>(id.clone());
    let activity = eventually("the standalone delivery to wait for the claim", || async {
        let described = standalone.describe(WorkflowDescribeOptions::default()).await.ok()?;
        let pending = described.raw().pending_activities.first()?;
        pending.next_attempt_schedule_time.map(|_| pending.activity_id.clone())
    })
    .await;
    let oldest = |all: Vec<Delivery>| all.into_iter().next().expect("the e-mail of the first run");
    stack.failpoints.release(Failpoint::AfterMailAccepted);
    eventually("the e-mail to be planned again", || async {
        let old = oldest(ledger(stack, submission).await);
        (old.status.to_string() == "planned").then_some(())
    })
    .await;

    temporal_cli::activity("reset", &id, &activity, &[]).await;

    eventually("the old e-mail to be settled", || async {
        oldest(ledger(stack, submission).await).settled_at.map(drop)
    })
    .await;
}

/// Asserts that the first run's e-mail was superseded and that only the second run's e-mail was sent.
async fn assert_only_result_was_sent(stack: &Stack, submission: &AcceptedSubmission) {
    eventually("the result to be sent", || async {
        let all = ledger(stack, submission).await;
        all.get(1).filter(|one| one.status.to_string() == "sent").map(drop)
    })
    .await;
    assert_eq!(history::wait_until_closed(stack, submission).await, "Completed");
    let all = ledger(stack, submission).await;
    let states: Vec<_> = all
        .iter()
        .map(|one| (one.run_number, one.status.to_string(), one.error_code.as_deref()))
        .collect();
    let superseded = (1, "failed".to_owned(), Some("superseded"));
    assert_eq!(states, [superseded, (2, "sent".to_owned(), None)]);
    let mails = mails(stack, submission);
    let subjects: Vec<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert_eq!(subjects, ["Your diagnosis result"]);
}

#[tokio::test]
async fn an_old_email_deferred_during_a_new_run_is_not_sent() {
    let (stack, accepted) = retried_during_its_email("fail*1, stuck").await;
    let execution = eventually("a second request to LoopAI", || async {
        let all = executions(&stack, &accepted).into_iter();
        all.map(|execution| execution.execution_id).nth(1)
    })
    .await;

    retry_old_email(&stack, &accepted).await;

    assert_eq!(mails(&stack, &accepted).len(), 0, "an e-mail was sent before the second run ended");
    stack.loopai.complete_with(&execution, json!({"summary": "well"})).expect("in progress");
    stack.wait_for_status(&accepted, "completed").await;
    assert_only_result_was_sent(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_old_email_deferred_after_a_new_run_ended_is_not_sent() {
    let (stack, accepted) = retried_during_its_email("fail*1").await;
    stack.wait_for_status(&accepted, "completed").await;
    eventually("the result to be sent", || async { mails(&stack, &accepted).pop() }).await;

    retry_old_email(&stack, &accepted).await;

    assert_only_result_was_sent(&stack, &accepted).await;
    stack.stop().await;
}

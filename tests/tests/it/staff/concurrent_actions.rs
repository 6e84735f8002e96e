//! Tests that an action takes effect only once if staff call it several times concurrently on two replicas.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::Role;
use diagflow_tests::assertions::{
    cancelled, delivery, executions, wait_completed_once, wait_ended_once,
};
use diagflow_tests::assertions::{failed, mails};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, history};
use futures::future::join_all;
use serde_json::{Value, json};

const CALLS: usize = 8;

/// Calls an action on both replicas at the same time. Returns the status, the outcome and the field `member` of each
/// response, sorted.
async fn call_concurrently(
    staff: &[Staff; 2],
    path: &str,
    member: &str,
) -> Vec<(u16, String, String)> {
    let reason = json!({"reason": "several of us saw it"});
    let results = (0..CALLS).map(|call| staff[call % 2].post(path, &reason));
    let mut responses = Vec::new();
    for response in join_all(results).await {
        let status = response.status().as_u16();
        let body: Value = response.json().await.expect("JSON");
        let outcome = body["outcome"].as_str().unwrap_or_else(|| panic!("{status}: {body}"));
        responses.push((status, outcome.to_owned(), body[member].to_string()));
    }
    responses.sort();
    responses
}

/// Returns the results of an action in the audit log in descending order, so `success` comes before `in_progress`.
async fn results(stack: &Stack, action: &str) -> Vec<String> {
    let query = format!("SELECT result FROM audit WHERE action = '{action}' ORDER BY result DESC");
    stack.database.texts(&query).await
}

fn one_and_rest<T: Clone>(first: T, others: T) -> Vec<T> {
    let mut all = vec![first];
    all.resize(CALLS, others);
    all
}

#[tokio::test]
async fn concurrent_retries_start_one_run() {
    let options = StackOptions::default().scenario("fail*1");
    let (stack, accepted) = Stack::with_submission(options).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at_api(&elsewhere)];
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let path = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    let mut responses = call_concurrently(&staff, &path, "run").await;

    responses.reverse();
    let response = |status, outcome: &str| (status, outcome.to_owned(), "2".to_owned());
    assert_eq!(responses, one_and_rest(response(202, "queued"), response(200, "in_progress")));
    stack.wait_for_status(&accepted, "completed").await;
    history::wait_until_closed(&stack, &accepted).await;
    assert_eq!(stack.store.runs(id_of(&accepted)).await.expect("runs").len(), 2);
    assert_eq!(executions(&stack, &accepted).len(), 2);
    let results = results(&stack, "submission_retry").await;
    assert_eq!(results, one_and_rest("success".to_owned(), "in_progress".to_owned()));
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn concurrent_cancellations_end_a_run_once() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at_api(&elsewhere)];
    stack.wait_for_status(&accepted, "processing").await;

    let path = format!("/api/admin/submissions/{}/cancel", accepted.submission_id);
    let responses = call_concurrently(&staff, &path, "submission_id").await;

    // A call that arrives after the run has ended returns `cancelled`.
    let accepted_outcomes = ["cancelling", "cancelled"];
    assert!(responses.iter().all(|(status, outcome, _)| {
        *status == 202 && accepted_outcomes.contains(&outcome.as_str())
    }));
    wait_ended_once(&stack, &accepted, cancelled()).await;
    let results = results(&stack, "submission_cancel").await;
    assert_eq!(results.len(), CALLS);
    let done = results.iter().filter(|result| *result == "success").count();
    assert_eq!(done, 1, "{results:?}");
    let events = stack.store.events(id_of(&accepted), 0).await.expect("events");
    let ends = events.iter().filter(|event| event.step.name() == "cancelled").count();
    assert_eq!(ends, 1, "{events:?}");
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn concurrent_resends_plan_one_copy() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at_api(&elsewhere)];
    wait_completed_once(&stack, &accepted).await;
    let original = delivery(&stack, &accepted).await.id;
    // The mail server defers the copy until all calls have returned because a copy that has been sent can be resent.
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");

    let id = &accepted.submission_id;
    let path = format!("/api/admin/submissions/{id}/deliveries/{original}/resend");
    let mut responses = call_concurrently(&staff, &path, "delivery_id").await;

    responses.reverse();
    let copy = responses[0].2.clone();
    let response = |outcome: &str| (202, outcome.to_owned(), copy.clone());
    assert_eq!(responses, one_and_rest(response("planned"), response("in_progress")));
    stack.mail.set_script([]).expect("a script");
    eventually("the copy to be sent", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        assert_eq!(all.len(), 2, "{all:?}");
        all.iter().all(|one| one.status.to_string() == "sent").then_some(())
    })
    .await;
    assert_eq!(mails(&stack, &accepted).len(), 2);
    let results = results(&stack, "mail_resend").await;
    assert_eq!(results, one_and_rest("success".to_owned(), "in_progress".to_owned()));
    replica.stop().await;
    stack.stop().await;
}

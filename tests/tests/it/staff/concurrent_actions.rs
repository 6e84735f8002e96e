//! The same button, pressed by several people at the very same time, on two replicas: it happens once.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::Role;
use diagflow_tests::invariants::{cancelled, completed_once, delivery, ended_once, executions};
use diagflow_tests::invariants::{failed, mails};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, history};
use futures::future::join_all;
use serde_json::{Value, json};

/// Presses at once.
const PRESSES: usize = 8;

/// Presses a button on both replicas; returns status, outcome and the member `about` of each answer, sorted.
async fn pressed(staff: &[Staff; 2], path: &str, about: &str) -> Vec<(u16, String, String)> {
    let reason = json!({"reason": "several of us saw it"});
    let presses = (0..PRESSES).map(|press| staff[press % 2].post(path, &reason));
    let mut told = Vec::new();
    for answer in join_all(presses).await {
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        let outcome = body["outcome"].as_str().unwrap_or_else(|| panic!("{status}: {body}"));
        told.push((status, outcome.to_owned(), body[about].to_string()));
    }
    told.sort();
    told
}

/// The results that the audit has of an action, sorted.
async fn results(stack: &Stack, action: &str) -> Vec<String> {
    let query = format!("SELECT result FROM audit WHERE action = '{action}' ORDER BY result");
    stack.database.texts(&query).await
}

/// One of the first, and the others of the second.
fn once<T: Clone>(first: T, others: T) -> Vec<T> {
    let mut all = vec![first];
    all.resize(PRESSES, others);
    all
}

#[tokio::test]
async fn retries_at_the_same_time_make_one_run() {
    let options = StackOptions::default().scenario("fail*1");
    let (stack, accepted) = Stack::with_submission(options).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at(&elsewhere)];
    ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let path = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    let mut told = pressed(&staff, &path, "run").await;

    told.reverse();
    let answer = |status, outcome: &str| (status, outcome.to_owned(), "2".to_owned());
    assert_eq!(told, once(answer(202, "queued"), answer(200, "under_way")));
    stack.until(&accepted, "completed").await;
    history::closed(&stack, &accepted).await;
    assert_eq!(stack.store.runs(id_of(&accepted)).await.expect("runs").len(), 2);
    assert_eq!(executions(&stack, &accepted).len(), 2);
    let presses = results(&stack, "submission_retry").await;
    assert_eq!(presses, once("done".to_owned(), "under_way".to_owned()));
    replica.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn cancellations_at_the_same_time_end_a_run_once() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at(&elsewhere)];
    stack.until(&accepted, "processing").await;

    let path = format!("/api/admin/submissions/{}/cancel", accepted.submission_id);
    let told = pressed(&staff, &path, "submission_id").await;

    // Whoever comes after the run has ended finds it cancelled.
    let wanted = ["cancelling", "cancelled"];
    assert!(
        told.iter()
            .all(|(status, outcome, _)| { *status == 202 && wanted.contains(&outcome.as_str()) })
    );
    ended_once(&stack, &accepted, cancelled()).await;
    let presses = results(&stack, "submission_cancel").await;
    assert_eq!(presses.len(), PRESSES);
    let done = presses.iter().filter(|result| *result == "done").count();
    assert_eq!(done, 1, "{presses:?}");
    let story = stack.store.events(id_of(&accepted), 0).await.expect("events");
    let ends = story.iter().filter(|event| event.step.name() == "cancelled").count();
    assert_eq!(ends, 1, "{story:?}");
    replica.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn resends_at_the_same_time_make_one_copy() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let here = Staff::with_role(&stack, Role::Operator).await;
    let staff = [here.clone(), here.at(&elsewhere)];
    completed_once(&stack, &accepted).await;
    let original = delivery(&stack, &accepted).await.id;
    // Until all have pressed: a copy that was sent already could be sent again.
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");

    let id = &accepted.submission_id;
    let path = format!("/api/admin/submissions/{id}/deliveries/{original}/resend");
    let told = pressed(&staff, &path, "delivery_id").await;

    let copy = told[0].2.clone();
    let answer = |outcome: &str| (202, outcome.to_owned(), copy.clone());
    assert_eq!(told, once(answer("planned"), answer("under_way")));
    stack.mail.set_script([]).expect("a script");
    eventually("the copy to be sent", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        assert_eq!(all.len(), 2, "{all:?}");
        all.iter().all(|one| one.status.to_string() == "sent").then_some(())
    })
    .await;
    assert_eq!(mails(&stack, &accepted).len(), 2);
    let presses = results(&stack, "mail_resend").await;
    assert_eq!(presses, once("done".to_owned(), "under_way".to_owned()));
    replica.stopped().await;
    stack.stop().await;
}

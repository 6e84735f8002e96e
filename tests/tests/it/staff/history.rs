//! Staff read what Temporal has of a submission's runs.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Action, Role};
use diagflow_tests::invariants::{completed_once, delivery, ended_once, failed};
use diagflow_tests::stack::id_of;
use diagflow_tests::staff::refusal;
use diagflow_tests::{
    Accepted, Proxy, Stack, StackOptions, Staff, eventually, history, operator, photos, seeding,
    servers,
};
use diagflow_workflows::delivery_workflow_id;
use serde_json::{Value, json};
use temporalio_client::WorkflowHistory;

fn path(submission: &Accepted) -> String {
    format!("/api/admin/submissions/{}/history", submission.submission_id)
}

async fn read(staff: &Staff, submission: &Accepted) -> Value {
    let answer = staff.get(&path(submission)).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn a_run_is_told_in_plain_words_and_can_be_downloaded() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default()
        .scenario("fail")
        .with("TEMPORAL_ADDRESS", temporal.address())
        .with("TEMPORAL_UI_URL", "https://temporal.example.org/ui/");
    let (stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let told = read(&staff, &accepted).await;

    let run = &told["runs"][0];
    assert_eq!(
        (&run["number"], &run["history"], &run["status"]),
        (&1.into(), &"kept".into(), &"Failed".into())
    );
    let run_id = run["run_id"].as_str().expect("an id");
    let id = &accepted.submission_id;
    let link = format!(
        "https://temporal.example.org/ui/namespaces/default/workflows/submission-{id}/{run_id}/history"
    );
    assert_eq!(run["link"], link);
    let events = run["events"].as_array().expect("events");
    let words: Vec<_> = events.iter().filter_map(|event| event["words"].as_str()).collect();
    assert!(words.contains(&"Asked LoopAI (local attempt): accepted"), "{words:#?}");
    let last = events.last().expect("an end");
    assert_eq!(last["failure"]["type"], "loopai_failed", "{last}");
    assert!(run["started_at"].is_string() && run["closed_at"].is_string(), "{run}");

    let raw = staff.get(&format!("{}/{run_id}/raw", path(&accepted))).await;
    let name = raw.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(name.starts_with("attachment; filename=\"submission-"), "{name}");
    let raw = WorkflowHistory::from_json(&raw.bytes().await.expect("a body")).expect("a history");
    assert_eq!(raw.into_events().await.expect("events").len(), events.len());
    let answer = staff.get(&format!("{}/{}/raw", path(&accepted), id)).await;
    assert_eq!(refusal(answer).await, (404, "not_found".to_owned()));
    let lines = "SELECT CAST(COUNT(*) AS SIGNED) FROM audit WHERE action = 'history_view' \
                 AND result = 'done'";
    assert_eq!(stack.database.number(lines).await, 2);

    temporal.cut();
    let answer = staff.get(&path(&accepted)).await;
    assert_eq!(refusal(answer).await, (503, "temporal_unavailable".to_owned()));
    temporal.mend();
    operator::act("delete", &accepted, &["--yes"]).await;
    eventually("the history to be gone", || async {
        let answer = staff.get(&path(&accepted)).await;
        let told: Value = answer.json().await.ok()?;
        (told["runs"][0]["history"] == "gone").then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn the_history_of_a_deleted_submission_can_be_read_as_its_details_can() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default().scenario("fail")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    ended_once(&stack, &accepted, failed("loopai_failed")).await;
    let told = read(&staff, &accepted).await;

    let deletion = seeding::line(Action::SubmissionDelete);
    stack.store.delete_submission(id_of(&accepted), &deletion).await.expect("deleted");

    assert_eq!(read(&staff, &accepted).await, told);
    let run_id = told["runs"][0]["run_id"].as_str().expect("an id");
    let raw = staff.get(&format!("{}/{run_id}/raw", path(&accepted))).await;
    assert_eq!(raw.status(), 200);
    let unknown = "/api/admin/submissions/5f0c0f4e-6f0e-4f7b-9d53-0f1f6f3c2a11/history";
    for nothing in [unknown.to_owned(), format!("{unknown}/{run_id}/raw")] {
        assert_eq!(refusal(staff.get(&nothing).await).await, (404, "not_found".to_owned()));
    }
    stack.stop().await;
}

#[tokio::test]
async fn what_is_not_done_yet_is_told_with_its_last_failure_and_next_attempt() {
    let stack = Stack::start().await;
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;

    let pending = eventually("an e-mail to wait", || async {
        let told = read(&staff, &accepted).await;
        let pending = told["runs"][0]["pending"][0].clone();
        pending["next_attempt_at"].is_string().then_some(pending)
    })
    .await;

    assert_eq!(pending["words"], "E-mailing the patient");
    assert_eq!(pending["last_failure"]["type"], "smtp_try_later", "{pending}");
    assert!(pending["attempt"].as_i64() >= Some(2), "{pending}");
    assert!(!pending.to_string().contains("ana@"), "{pending}");
    stack.mail.set_script([]).expect("a script");
    history::closed(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_outside_a_run_is_told_beside_the_runs() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    completed_once(&stack, &accepted).await;
    assert_eq!(read(&staff, &accepted).await["deliveries"], json!([]), "the run sent it");
    let original = delivery(&stack, &accepted).await.id;
    let id = &accepted.submission_id;
    let resend = format!("/api/admin/submissions/{id}/deliveries/{original}/resend");
    let planned = staff.post(&resend, &json!({"reason": "it did not come"})).await;
    let planned: Value = planned.json().await.expect("JSON");

    let told = eventually("the e-mail to be delivered", || async {
        let told = read(&staff, &accepted).await["deliveries"][0].clone();
        (told["status"] == "Completed").then_some(told)
    })
    .await;

    assert_eq!((&told["delivery_id"], &told["kind"]), (&planned["delivery_id"], &json!("result")));
    let words: Vec<_> = told["events"].as_array().expect("events").iter().collect();
    assert!(
        words.iter().any(|event| event["words"] == "E-mailed the patient (local attempt): sent"),
        "{words:#?}"
    );
    let link = told["link"].as_str().expect("a link");
    let delivery = told["delivery_id"].as_str().expect("an id");
    assert!(link.contains(&format!("/workflows/{}/", delivery_workflow_id(delivery))), "{link}");
    stack.stop().await;
}

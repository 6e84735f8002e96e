//! Tests in which staff read the Temporal history of a submission's runs.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Action, Role};
use diagflow_tests::assertions::{delivery, failed, wait_completed_once, wait_ended_once};
use diagflow_tests::responses::refusal;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Proxy, Stack, StackOptions, Staff, eventually, history, photos, seeding,
    servers, temporal_cli,
};
use diagflow_workflows::DeliveryRef;
use serde_json::{Value, json};
use temporalio_client::WorkflowHistory;

fn path(submission: &AcceptedSubmission) -> String {
    format!("/api/admin/submissions/{}/history", submission.submission_id)
}

async fn read_history(staff: &Staff, submission: &AcceptedSubmission) -> Value {
    let response = staff.get(&path(submission)).await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_run_history_is_described_and_can_be_downloaded() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default()
        .scenario("fail")
        .with("TEMPORAL_ADDRESS", temporal.address())
        .with("TEMPORAL_UI_URL", "https://temporal.example.org/ui/");
    let (stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let history = read_history(&staff, &accepted).await;

    let run = &history["runs"][0];
    assert_eq!(
        (&run["number"], &run["history"], &run["status"]),
        (&1.into(), &"available".into(), &"Failed".into())
    );
    let run_id = run["run_id"].as_str().expect("an id");
    let id = &accepted.submission_id;
    let link = format!(
        "https://temporal.example.org/ui/namespaces/default/workflows/submission-{id}/{run_id}/history"
    );
    assert_eq!(run["link"], link);
    let events = run["events"].as_array().expect("events");
    let descriptions: Vec<_> =
        events.iter().filter_map(|event| event["description"].as_str()).collect();
    assert!(
        descriptions.contains(&"Request to LoopAI (local activity): accepted"),
        "{descriptions:#?}"
    );
    let last = events.last().expect("an end");
    assert_eq!(last["failure"]["type"], "loopai_failed", "{last}");
    assert!(run["started_at"].is_string() && run["closed_at"].is_string(), "{run}");

    let raw = staff.get(&format!("{}/{run_id}/raw", path(&accepted))).await;
    let name = raw.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(name.starts_with("attachment; filename=\"submission-"), "{name}");
    let raw = WorkflowHistory::from_json(&raw.bytes().await.expect("a body")).expect("a history");
    assert_eq!(raw.into_events().await.expect("events").len(), events.len());
    let response = staff.get(&format!("{}/{}/raw", path(&accepted), id)).await;
    assert_eq!(refusal(response).await, (404, "not_found".to_owned()));
    let lines = "SELECT CAST(COUNT(*) AS SIGNED) FROM audit WHERE action = 'history_view' \
                 AND result = 'success'";
    assert_eq!(stack.database.number(lines).await, 2);

    temporal.cut();
    let response = staff.get(&path(&accepted)).await;
    assert_eq!(refusal(response).await, (503, "temporal_unavailable".to_owned()));
    temporal.restore();
    temporal_cli::submission_workflow("delete", &accepted, &["--yes"]).await;
    eventually("Temporal to delete the history", || async {
        let response = staff.get(&path(&accepted)).await;
        let history: Value = response.json().await.ok()?;
        (history["runs"][0]["history"] == "removed").then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn the_history_of_a_deleted_submission_can_still_be_read() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default().scenario("fail")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    let history = read_history(&staff, &accepted).await;

    let entry = seeding::audit_entry(Action::SubmissionDelete);
    stack.store.delete_submission(id_of(&accepted), &entry).await.expect("deleted");

    assert_eq!(read_history(&staff, &accepted).await, history);
    let run_id = history["runs"][0]["run_id"].as_str().expect("an id");
    let raw = staff.get(&format!("{}/{run_id}/raw", path(&accepted))).await;
    assert_eq!(raw.status(), 200);
    let unknown = "/api/admin/submissions/5f0c0f4e-6f0e-4f7b-9d53-0f1f6f3c2a11/history";
    for nothing in [unknown.to_owned(), format!("{unknown}/{run_id}/raw")] {
        assert_eq!(refusal(staff.get(&nothing).await).await, (404, "not_found".to_owned()));
    }
    stack.stop().await;
}

#[tokio::test]
async fn pending_activities_show_their_last_failure_and_next_attempt() {
    let stack = Stack::start().await;
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;

    let pending = eventually("the e-mail to be deferred", || async {
        let history = read_history(&staff, &accepted).await;
        let pending = history["runs"][0]["pending"][0].clone();
        pending["next_attempt_at"].is_string().then_some(pending)
    })
    .await;

    assert_eq!(pending["description"], "E-mail to the patient");
    assert_eq!(pending["last_failure"]["type"], "smtp_deferred", "{pending}");
    assert!(pending["attempt"].as_i64() >= Some(2), "{pending}");
    assert!(!pending.to_string().contains("ana@"), "{pending}");
    stack.mail.set_script([]).expect("a script");
    history::wait_until_closed(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_standalone_delivery_is_listed_beside_the_runs() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_completed_once(&stack, &accepted).await;
    assert_eq!(
        read_history(&staff, &accepted).await["deliveries"],
        json!([]),
        "a standalone delivery is listed even though the run sent the e-mail"
    );
    let original = delivery(&stack, &accepted).await.id;
    let id = &accepted.submission_id;
    let resend = format!("/api/admin/submissions/{id}/deliveries/{original}/resend");
    let planned = staff.post(&resend, &json!({"reason": "it did not arrive"})).await;
    let planned: Value = planned.json().await.expect("JSON");

    let history = eventually("the e-mail to be delivered", || async {
        let history = read_history(&staff, &accepted).await["deliveries"][0].clone();
        (history["status"] == "Completed").then_some(history)
    })
    .await;

    assert_eq!(
        (&history["delivery_id"], &history["kind"]),
        (&planned["delivery_id"], &json!("result"))
    );
    let descriptions: Vec<_> = history["events"].as_array().expect("events").iter().collect();
    assert!(
        descriptions
            .iter()
            .any(|event| event["description"] == "E-mail to the patient (local activity): sent"),
        "{descriptions:#?}"
    );
    let link = history["link"].as_str().expect("a link");
    let delivery = history["delivery_id"].as_str().expect("an id");
    assert!(
        link.contains(&format!("/workflows/{}/", DeliveryRef::new(delivery).workflow_id())),
        "{link}"
    );
    stack.stop().await;
}

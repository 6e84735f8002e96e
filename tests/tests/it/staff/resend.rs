//! Tests in which staff resend an e-mail.

use diagflow_simulators::mail::{Mail, Rule, Step};
use diagflow_store::Role;
use diagflow_tests::assertions::{delivery, mails, wait_completed_once};
use diagflow_tests::responses::{outcome, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, temporal_cli};
use diagflow_workflows::DeliveryRef;
use serde_json::{Value, json};

fn path(submission: &AcceptedSubmission, delivery: &str) -> String {
    format!("/api/admin/submissions/{}/deliveries/{delivery}/resend", submission.submission_id)
}

fn reason_body() -> Value {
    json!({"reason": "the patient did not receive it"})
}

/// Returns the copy number and the status of each of a submission's deliveries.
async fn states(stack: &Stack, submission: &AcceptedSubmission) -> Vec<(i32, String)> {
    let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    all.iter().map(|one| (one.copy, one.status.to_string())).collect()
}

/// Returns the lines of an e-mail without the link to the submission's page.
fn without_link(mail: &Mail) -> Vec<&str> {
    let text = mail.text.as_deref().expect("text");
    text.lines().filter(|line| !line.contains("/open/")).collect()
}

#[tokio::test]
async fn repeated_resends_plan_only_one_copy_until_that_copy_is_settled() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_completed_once(&stack, &accepted).await;
    let original = delivery(&stack, &accepted).await.id.to_string();
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");

    let first = staff.post(&path(&accepted, &original), &reason_body()).await;
    let planned: Value = first.json().await.expect("JSON");
    assert_eq!(planned["outcome"], "planned", "{planned}");
    let copy = planned["delivery_id"].as_str().expect("an id").to_owned();
    for delivery in [&original, &copy] {
        let again = staff.post(&path(&accepted, delivery), &reason_body()).await;
        let again: Value = again.json().await.expect("JSON");
        assert_eq!(
            (&again["outcome"], &again["delivery_id"]),
            (&json!("in_progress"), &json!(copy))
        );
    }
    stack.mail.set_script([]).expect("a script");

    eventually("the copy to be sent", || async {
        (states(&stack, &accepted).await == [(0, "sent".into()), (1, "sent".into())]).then_some(())
    })
    .await;
    let both = mails(&stack, &accepted);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1].message_id, Some(format!("{copy}@diagflow.example")));
    // Each e-mail has a link of its own.
    assert_ne!(both[0].text, both[1].text);
    assert_eq!(without_link(&both[0]), without_link(&both[1]));
    eventually("the copy's workflow to close", || async {
        let id = DeliveryRef::new(&copy).workflow_id();
        let query = format!("WorkflowId = '{id}' AND ExecutionStatus = 'Completed'");
        temporal_cli::search(&query).await.pop()
    })
    .await;
    let third = staff.post(&path(&accepted, &original), &reason_body()).await;
    assert_eq!(
        outcome(third).await,
        (202, "planned".to_owned()),
        "a second copy must be planned once the first copy is settled"
    );
    stack.stop().await;
}

#[tokio::test]
async fn superseded_and_missing_emails_are_not_resent() {
    let options = StackOptions::default().scenario("fail*1");
    let (stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.wait_for_status(&accepted, "failed").await;
    let original = eventually("the e-mail to be sent", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.first().filter(|one| one.status.to_string() == "sent").map(|one| one.id.to_string())
    })
    .await;
    let retry = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    assert_eq!(staff.post(&retry, &reason_body()).await.status(), 202);

    for moment in ["during the new run", "after the new run"] {
        let response = staff.post(&path(&accepted, &original), &reason_body()).await;
        assert_eq!(refusal(response).await, (409, "superseded".to_owned()), "{moment}");
        stack.wait_for_status(&accepted, "completed").await;
    }
    let unknown = path(&accepted, "5f0c0f4e-6f0e-4f7b-9d53-0f1f6f3c2a11");
    let response = staff.post(&unknown, &reason_body()).await;
    assert_eq!(refusal(response).await, (404, "not_found".to_owned()));
    let response = staff.post(&path(&accepted, &original), &json!({})).await;
    assert_eq!(refusal(response).await, (400, "reason_required".to_owned()));
    assert_eq!(
        mails(&stack, &accepted).iter().filter(|it| it.subject.contains("could not")).count(),
        1
    );
    stack.stop().await;
}

#[tokio::test]
async fn only_the_email_of_the_latest_failure_can_be_resent() {
    let (stack, accepted) =
        Stack::with_submission(StackOptions::default().scenario("fail*2")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let sent = async |count: usize| {
        eventually(format!("{count} e-mails to be sent"), || async {
            let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
            let sent = all.iter().filter(|one| one.status.to_string() == "sent").count();
            (sent == count).then_some(all)
        })
        .await
    };
    sent(1).await;
    let retry = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    assert_eq!(staff.post(&retry, &reason_body()).await.status(), 202);
    let both = sent(2).await;
    let [first, second] = both.as_slice() else { panic!("not two: {both:?}") };

    let response = staff.post(&path(&accepted, &first.id.to_string()), &reason_body()).await;
    assert_eq!(refusal(response).await, (409, "superseded".to_owned()));
    let response = staff.post(&path(&accepted, &second.id.to_string()), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "planned".to_owned()));
    stack.stop().await;
}

//! Tests that an e-mail with invalid data in the database fails immediately instead of being retried for days.

use diagflow_store::{Delivery, DeliveryStatus, Role};
use diagflow_tests::assertions::{delivery, wait_completed_once};
use diagflow_tests::responses::{body, header, members};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, temporal_cli};
use diagflow_workflows::{DeliveryRef, DeliveryWorkflow};
use reqwest::Method;
use serde_json::json;
use temporalio_client::WorkflowFetchHistoryOptions;

/// Damages the records of a completed submission with `damage`, resends its e-mail, and waits until the copy has failed.
async fn failed_copy(
    stack: &Stack,
    staff: &Staff,
    accepted: &AcceptedSubmission,
    damage: &str,
) -> Delivery {
    wait_completed_once(stack, accepted).await;
    let original = delivery(stack, accepted).await.id;
    stack.database.execute(damage).await;
    let path =
        format!("/api/admin/submissions/{}/deliveries/{original}/resend", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "the patient lost the e-mail"})).await;
    assert_eq!(response.status(), 202);
    eventually("the copy to fail", || async {
        let all = stack.store.deliveries(id_of(accepted)).await.expect("deliveries");
        all.into_iter().find(|one| one.copy == 1 && one.status == DeliveryStatus::Failed)
    })
    .await
}

#[tokio::test]
async fn an_email_whose_result_cannot_be_read_fails_without_retries() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let copy = failed_copy(&stack, &staff, &accepted, "UPDATE results SET body = '[]'").await;

    assert_eq!(copy.error_code.as_deref(), Some("records_unreadable"));
    let id = DeliveryRef::new(copy.id).workflow_id();
    eventually("the workflow of the copy to be closed", || async {
        let query = format!("WorkflowId = '{id}' AND ExecutionStatus = 'Failed'");
        temporal_cli::search(&query).await.pop()
    })
    .await;
    let workflow = stack.temporal().await.get_workflow_handle::<DeliveryWorkflow>(id);
    let options = WorkflowFetchHistoryOptions::default();
    let history = workflow.fetch_history(options).to_json().await.expect("a history");
    assert!(String::from_utf8_lossy(&history).contains("records_unreadable"));
    stack.stop().await;
}

#[tokio::test]
async fn an_email_to_an_address_from_an_earlier_version_fails_without_retries() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let copy =
        failed_copy(&stack, &staff, &accepted, "UPDATE submissions SET email = 'me@127.0.0.1'")
            .await;

    assert_eq!(copy.error_code.as_deref(), Some("email_address_invalid"));
    let list = body(staff.get("/api/admin/submissions").await).await;
    assert_eq!(members(&list, "email"), ["me@127.0.0.1"]);
    let path = format!("/api/admin/submissions/{}", accepted.submission_id);
    let detail = staff.get(&path).await;
    let etag = header(&detail, "etag");
    assert_eq!(body(detail).await["data"]["email"], "me@127.0.0.1");

    let correction = json!({"email": "ana@example.net", "resend": true, "reason": "old address"});
    let call = staff.request(Method::PATCH, &path).header("if-match", etag);
    let corrected = body(call.json(&correction).send().await.expect("a response")).await;

    assert_eq!(corrected["original_email"], "me@127.0.0.1", "{corrected}");
    eventually("an e-mail to the corrected address", || async {
        stack.mail.mails_to("ana@example.net").first().cloned()
    })
    .await;
    stack.stop().await;
}

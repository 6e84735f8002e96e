//! An e-mail whose database rows cannot be read fails at once instead of being retried for days.

use diagflow_store::{DeliveryStatus, Role};
use diagflow_tests::assertions::{delivery, wait_completed_once};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, temporal_cli};
use diagflow_workflows::{DeliveryRef, DeliveryWorkflow};
use serde_json::json;
use temporalio_client::WorkflowFetchHistoryOptions;

#[tokio::test]
async fn an_email_whose_result_cannot_be_read_fails_without_retries() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_completed_once(&stack, &accepted).await;
    let original = delivery(&stack, &accepted).await.id;
    stack.database.execute("UPDATE results SET body = '[]'").await;

    let path =
        format!("/api/admin/submissions/{}/deliveries/{original}/resend", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "the patient lost the e-mail"})).await;
    assert_eq!(response.status(), 202);

    let copy = eventually("the copy to fail", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.into_iter().find(|one| one.copy == 1 && one.status == DeliveryStatus::Failed)
    })
    .await;
    assert_eq!(copy.error_code.as_deref(), Some("records_unreadable"));
    let id = DeliveryRef::new(copy.id).workflow_id();
    eventually("its workflow to be closed", || async {
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

//! Tests that staff can see runs whose workflow tasks fail on every attempt and submissions that stay open after their
//! deadline.

use diagflow_store::Role;
use diagflow_tests::assertions::{executions, wait_completed_once};
use diagflow_tests::changed_worker::ChangedWorker;
use diagflow_tests::dedicated_servers::DedicatedTemporal;
use diagflow_tests::eventually::{LIMIT, within};
use diagflow_tests::responses::body;
use diagflow_tests::temporal_proxy::TemporalProxy;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos, servers,
};
use diagflow_workflows::contract::FAILURE_CODE;
use serde_json::{Value, json};
use std::collections::HashMap;
use temporalio_client::WorkflowDescribeOptions;
use temporalio_client::tonic::IntoRequest;
use temporalio_common::protos::temporal::api::enums::v1::IndexedValueType;
use temporalio_common::protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, RemoveSearchAttributesRequest,
};

async fn detail(staff: &Staff, submission: &AcceptedSubmission) -> Value {
    let path = format!("/api/admin/submissions/{}", submission.submission_id);
    body(staff.get(&path).await).await["data"].take()
}

async fn stuck_ids(staff: &Staff) -> Vec<String> {
    let list = body(staff.get("/api/admin/submissions?stuck=true").await).await;
    diagflow_tests::responses::members(&list, "id")
}

async fn wait_for_metric(stack: &Stack, line: &str) {
    eventually(line, || async {
        let metrics = stack.client.get("/metrics").await.text().await.ok()?;
        metrics.lines().any(|printed| printed == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stuck_run_is_reported_and_continues_when_a_worker_has_compatible_code() {
    let options = StackOptions::default().reconcile_soon().scenario("stuck");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.wait_for_polls(3).await;
    assert_eq!(stuck_ids(&staff).await, Vec::<String>::new());
    stack.worker.take().expect("a running process").stop().await;

    let queue = stack.setting("TEMPORAL_TASK_QUEUE");
    let changed = ChangedWorker::start(servers::temporal(), queue, "timer_after_inconclusive_poll");

    let stuck = eventually("the run to be recorded as stuck", || async {
        let detail = detail(&staff, &accepted).await;
        detail["stuck_since"].is_string().then_some(detail)
    })
    .await;
    assert_eq!(
        (&stuck["stuck_cause"], &stuck["status"]),
        (&json!("non_deterministic_error"), &json!("processing"))
    );
    assert_eq!(stuck_ids(&staff).await, [accepted.submission_id.as_str()]);
    wait_for_metric(&stack, "diagflow_runs_stuck 1").await;
    let path = format!("/api/admin/submissions/{}/history", accepted.submission_id);
    let history = body(staff.get(&path).await).await;
    let failure = &history["runs"][0]["stuck"];
    assert_eq!(failure["cause"], "non_deterministic_error", "{failure}");
    assert!(failure["attempt"].as_i64() >= Some(3), "{failure}");
    assert!(failure["failure"]["message"].is_string(), "{failure}");

    changed.stop();
    let execution = &executions(&stack, &accepted)[0].execution_id;
    stack.loopai.complete(execution).expect("an execution in progress");
    stack.start_worker().await;
    wait_completed_once(&stack, &accepted).await;
    wait_for_metric(&stack, "diagflow_runs_stuck 0").await;
    assert_eq!(detail(&staff, &accepted).await["stuck_cause"], Value::Null);
    stack.stop().await;
}

/// Waits until a run is closed or recorded as stuck. Returns whether it is stuck.
async fn ends_up_stuck(stack: &Stack, staff: &Staff, submission: &AcceptedSubmission) -> bool {
    let run = history::workflow_handle(stack, submission).await;
    // If the end of the run and its e-mail have been recorded, the run is found only after Temporal has reported its
    // failed workflow tasks.
    within(3 * LIMIT, "the run to be closed or recorded as stuck", || async {
        let described = run.describe(WorkflowDescribeOptions::default()).await.ok()?;
        let is_stuck = detail(staff, submission).await["stuck_since"].is_string();
        (is_stuck || described.close_time().is_some()).then_some(is_stuck)
    })
    .await
}

/// Submits until a run is stuck, because Temporal takes several seconds to apply a change to a search attribute. Returns
/// the submission.
async fn submit_until_stuck(stack: &Stack, staff: &Staff) -> AcceptedSubmission {
    loop {
        let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
        if ends_up_stuck(stack, staff, &accepted).await {
            return accepted;
        }
    }
}

/// Asserts that the run became stuck after its end and its e-mail had been recorded.
async fn assert_stuck_after_its_end(staff: &Staff, submission: &AcceptedSubmission) {
    let stuck = detail(staff, submission).await;
    assert_eq!(
        (&stuck["stuck_cause"], &stuck["status"], &stuck["deliveries"][0]["status"]),
        (&json!("bad_search_attributes"), &json!("failed"), &json!("sent"))
    );
}

async fn remove_failure_code(stack: &Stack) {
    let remove = RemoveSearchAttributesRequest {
        search_attributes: vec![FAILURE_CODE.name().to_owned()],
        namespace: "default".to_owned(),
    };
    let mut operator = stack.temporal().await.connection().operator_service();
    operator.remove_search_attributes(remove.into_request()).await.expect("removed");
}

async fn create_failure_code(stack: &Stack, kind: IndexedValueType) {
    let create = AddSearchAttributesRequest {
        search_attributes: HashMap::from([(FAILURE_CODE.name().to_owned(), kind as i32)]),
        namespace: "default".to_owned(),
    };
    let temporal = stack.temporal().await;
    // Temporal may still be removing the attribute.
    eventually("the search attribute to be created", || async {
        let mut operator = temporal.connection().operator_service();
        operator.add_search_attributes(create.clone().into_request()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_run_without_its_search_attribute_is_stuck_until_the_attribute_is_created() {
    let temporal = DedicatedTemporal::with_prompt_reports().await;
    let mut options = StackOptions::default().reconcile_soon().scenario("fail, delay=100ms");
    options.temporal = Some(temporal.address());
    let stack = Stack::with(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    remove_failure_code(&stack).await;

    let accepted = submit_until_stuck(&stack, &staff).await;

    assert_stuck_after_its_end(&staff, &accepted).await;
    create_failure_code(&stack, FAILURE_CODE.indexed_value_type()).await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Failed");
    eventually("the run to be recorded as no longer stuck", || async {
        detail(&staff, &accepted).await["stuck_cause"].is_null().then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn all_runs_whose_search_attribute_has_another_type_are_reported_as_stuck() {
    let temporal = DedicatedTemporal::with_prompt_reports().await;
    let proxy = TemporalProxy::to(&temporal.address()).await;
    // Each list of runs with problems contains only one run.
    proxy.limit_pages(1);
    let mut options = StackOptions::default().reconcile_soon().scenario("fail, delay=100ms");
    options.temporal = Some(proxy.address());
    let stack = Stack::with(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    remove_failure_code(&stack).await;
    create_failure_code(&stack, IndexedValueType::Int).await;

    let first = submit_until_stuck(&stack, &staff).await;
    let submit = async || stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
    let (second, third) = tokio::join!(submit(), submit());

    for accepted in [&first, &second, &third] {
        assert!(ends_up_stuck(&stack, &staff, accepted).await, "the run was closed");
        assert_stuck_after_its_end(&staff, accepted).await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn submissions_whose_run_is_open_long_after_the_deadline_are_counted() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let late = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
    wait_for_metric(&stack, "diagflow_submissions_overdue 0").await;

    let (id, deadline) = (&late.submission_id, stack.setting("DIAGNOSIS_DEADLINE_SECONDS"));
    let created = format!("NOW(6) - INTERVAL {deadline} + 301 SECOND");
    let age = |table: &str, key: &str| {
        format!("UPDATE {table} SET created_at = {created} WHERE {key} = '{id}'")
    };
    // As after a retry, the submission is old and its run is new.
    stack.database.execute(&age("submissions", "id")).await;
    wait_for_metric(&stack, "diagflow_submissions_overdue 0").await;

    stack.database.execute(&age("runs", "submission_id")).await;

    wait_for_metric(&stack, "diagflow_submissions_overdue 1").await;
    stack.stop().await;
}

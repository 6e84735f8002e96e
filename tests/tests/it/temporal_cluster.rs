//! Tests of processes whose Temporal namespace or cluster differs from the one recorded in the database.

use diagflow_store::Role;
use diagflow_tests::dedicated_servers::DedicatedTemporal;
use diagflow_tests::{ApiClient, Stack, StackOptions, Staff, eventually, temporal_cli};
use serde_json::Value;

async fn wait_for_problem(client: &ApiClient, problem: &str) {
    eventually(format!("/ready to report {problem}"), || async {
        let ready: Value = client.get("/ready").await.json().await.ok()?;
        (ready["start_problem"] == problem).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_process_with_another_namespace_changes_no_run_until_the_runs_are_moved() {
    let options = StackOptions::default()
        .scenario("stuck")
        .with("RECONCILE_AFTER_SECONDS", "0.5")
        .with("RECONCILE_SWEEP_SECONDS", "0.2");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    stack.wait_for_status(&accepted, "processing").await;

    stack.set("TEMPORAL_NAMESPACE", temporal_cli::create_namespace().await);
    let (replica, client) = stack.start_replica().await;
    wait_for_problem(&client, "wrong_temporal_cluster").await;

    // The other API process starts the run for the submission that this process accepts.
    let other = client.submit("ben@example.org", "", &[diagflow_tests::photos::cat()]).await;
    stack.wait_for_status(&other, "processing").await;
    let status = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(status["status"], "processing", "the process must not end the run");
    let logged = replica.log();
    assert!(logged.contains("the runs belong to another Temporal cluster"), "{logged}");

    let moved = stack.run_command(&["move-temporal", "--reason", "a new cluster"]).await;
    assert!(moved.status.success(), "{moved:?}");
    // The process connects without a restart and does not find the runs.
    stack.wait_for_status(&accepted, "failed").await;
    let [entry] = staff.audit("action=temporal_move").await.try_into().expect("one entry");
    assert_eq!(entry["details"]["reason"], "a new cluster");
    let namespace = stack.setting("TEMPORAL_NAMESPACE");
    assert!(entry["details"]["to"].as_str().expect("text").contains(&namespace), "{entry}");
    replica.kill();
    stack.stop().await;
}

#[tokio::test]
async fn a_process_with_another_cluster_is_rejected() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    wait_for_problem(&stack.client, "no_worker").await;

    let temporal = DedicatedTemporal::start().await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    let (replica, client) = stack.start_replica().await;

    wait_for_problem(&client, "wrong_temporal_cluster").await;
    replica.kill();
    stack.stop().await;
}

#[tokio::test]
async fn a_search_attribute_of_another_type_is_reported() {
    let namespace = temporal_cli::create_namespace().await;
    temporal_cli::create_search_attribute(&namespace, "AgentId", "Keyword").await;
    let options = StackOptions::default().with("TEMPORAL_NAMESPACE", &namespace);
    let stack = Stack::api_only(options).await;

    wait_for_problem(&stack.client, "search_attribute_type").await;

    let log = stack.api.as_ref().expect("running").log();
    assert!(log.contains("the search attribute AgentId is not of type Int"), "{log}");
    stack.stop().await;
}

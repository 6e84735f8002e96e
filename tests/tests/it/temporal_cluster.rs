//! Tests of processes whose Temporal namespace or cluster differs from the one recorded in the database.

use diagflow_store::Role;
use diagflow_tests::dedicated_servers::DedicatedTemporal;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, photos, temporal_cli};

#[tokio::test]
async fn a_process_with_another_namespace_changes_no_run_until_the_runs_are_moved() {
    let options = StackOptions::default().scenario("stuck").reconcile_soon();
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    stack.wait_for_status(&accepted, "processing").await;

    stack.set("TEMPORAL_NAMESPACE", temporal_cli::create_namespace().await);
    let (replica, client) = stack.start_replica().await;
    client.wait_for_start_problem("wrong_temporal_cluster").await;

    // The other API process starts the run for the submission that this process accepts.
    let other = client.submit("ben@example.org", "", &[photos::cat()]).await;
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
async fn a_worker_with_another_namespace_executes_no_run() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    stack.client.wait_for_start_problem("no_worker").await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.set("TEMPORAL_NAMESPACE", temporal_cli::create_namespace().await);

    stack.spawn_worker();

    let url = format!("http://{}/ready", stack.setting("WORKER_LISTEN_ADDRESS"));
    eventually("the worker to report the other namespace", || async {
        let response = reqwest::get(&url).await.ok()?;
        let is_ready = response.status().is_success();
        (response.text().await.ok()? == "wrong_temporal_cluster").then(|| assert!(!is_ready))
    })
    .await;
    let worker = stack.worker.take().expect("a running process");
    assert!(!worker.log().contains("polling the task queue"), "{}", worker.log());
    worker.stop().await;
    stack.unset("TEMPORAL_NAMESPACE");
    stack.start_worker().await;
    stack.wait_for_status(&accepted, "completed").await;
    stack.stop().await;
}

#[tokio::test]
async fn a_process_with_another_cluster_is_rejected() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    stack.client.wait_for_start_problem("no_worker").await;

    let temporal = DedicatedTemporal::start().await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    let (replica, client) = stack.start_replica().await;

    client.wait_for_start_problem("wrong_temporal_cluster").await;
    replica.kill();
    stack.stop().await;
}

#[tokio::test]
async fn a_search_attribute_of_another_type_is_reported() {
    let namespace = temporal_cli::create_namespace().await;
    temporal_cli::create_search_attribute(&namespace, "AgentId", "Keyword").await;
    let options = StackOptions::default().with("TEMPORAL_NAMESPACE", &namespace);
    let stack = Stack::api_only(options).await;

    stack.client.wait_for_start_problem("search_attribute_type").await;

    let log = stack.api.as_ref().expect("running").log();
    assert!(log.contains("the search attribute AgentId is not of type Int"), "{log}");
    stack.stop().await;
}

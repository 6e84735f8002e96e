//! Tests that the API's `/ready` reports why no run can be started.

use diagflow_tests::{Stack, StackOptions, eventually};
use serde_json::{Value, json};

/// Address of a port that no process listens on.
const NOWHERE: &str = "127.0.0.1:1";

async fn wait_for_problem(stack: &Stack, problem: Value) {
    eventually(format!("/ready to report {problem}"), || async {
        let ready = stack.client.get("/ready").await;
        assert_eq!(ready.status(), 200, "Temporal must not affect the readiness of the API");
        let ready: Value = ready.json().await.ok()?;
        (ready["start_problem"] == problem).then_some(())
    })
    .await;
}

async fn api_with(name: &'static str, value: &str) -> Stack {
    Stack::api_only(StackOptions::default().with(name, value)).await
}

#[tokio::test]
async fn the_api_reports_an_unreachable_server_and_a_missing_namespace() {
    let unreachable = api_with("TEMPORAL_ADDRESS", NOWHERE).await;
    wait_for_problem(&unreachable, json!("temporal_unreachable")).await;
    unreachable.stop().await;

    let wrong_namespace = api_with("TEMPORAL_NAMESPACE", "no-such-namespace").await;
    wait_for_problem(&wrong_namespace, json!("namespace_not_found")).await;
    wrong_namespace.stop().await;
}

#[tokio::test]
async fn a_missing_worker_is_reported_until_a_worker_polls() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    wait_for_problem(&stack, json!("no_worker")).await;

    stack.start_worker().await;

    wait_for_problem(&stack, Value::Null).await;
    stack.stop().await;
}

//! Tests that `/ready` reports why no run can be started.

use diagflow_tests::ports::NOWHERE;
use diagflow_tests::temporal_proxy::TemporalProxy;
use diagflow_tests::{Proxy, Stack, StackOptions, eventually, photos, servers, temporal_cli};
use serde_json::Value;

async fn api_with(name: &'static str, value: impl Into<String>) -> Stack {
    Stack::api_only(StackOptions::default().with(name, value)).await
}

#[tokio::test]
async fn the_api_reports_an_unreachable_server_and_a_missing_namespace() {
    let unreachable = api_with("TEMPORAL_ADDRESS", NOWHERE).await;
    unreachable.client.wait_for_start_problem("temporal_unreachable").await;
    assert_eq!(unreachable.client.get("/ready").await.status(), 200, "Temporal is down");
    unreachable.stop().await;

    let wrong_namespace = api_with("TEMPORAL_NAMESPACE", "no-such-namespace").await;
    wrong_namespace.client.wait_for_start_problem("namespace_not_found").await;
    assert_eq!(wrong_namespace.client.get("/ready").await.status(), 200, "Temporal is unusable");
    wrong_namespace.stop().await;
}

#[tokio::test]
async fn a_missing_worker_is_reported_until_a_worker_polls() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    stack.client.wait_for_start_problem("no_worker").await;

    stack.start_worker().await;

    stack.client.wait_for_start_problem(Value::Null).await;
    stack.stop().await;
}

#[tokio::test]
async fn denied_access_is_reported_before_and_after_the_connection_is_established() {
    let temporal = TemporalProxy::to(&servers::temporal()).await;
    temporal.deny("GetSystemInfo");
    let stack = api_with("TEMPORAL_ADDRESS", temporal.address()).await;
    stack.client.wait_for_start_problem("temporal_access_denied").await;
    temporal.allow("GetSystemInfo");
    stack.client.wait_for_start_problem("no_worker").await;

    temporal.deny("DescribeNamespace");

    stack.client.wait_for_start_problem("temporal_access_denied").await;
    stack.stop().await;
}

#[tokio::test]
async fn a_search_attribute_that_may_not_be_created_is_reported_as_missing() {
    let temporal = TemporalProxy::to(&servers::temporal()).await;
    temporal.deny("AddSearchAttributes");
    let options = StackOptions::default()
        .with("TEMPORAL_ADDRESS", temporal.address())
        .with("TEMPORAL_NAMESPACE", temporal_cli::create_namespace().await);
    let stack = Stack::api_only(options).await;
    stack.client.wait_for_start_problem("search_attribute_missing").await;

    temporal.allow("AddSearchAttributes");

    stack.client.wait_for_start_problem("no_worker").await;
    stack.stop().await;
}

#[tokio::test]
async fn search_attributes_that_may_not_be_listed_are_not_checked() {
    let temporal = TemporalProxy::to(&servers::temporal()).await;
    temporal.deny("ListSearchAttributes");
    temporal.deny("GetClusterInfo");
    let mut stack = api_with("TEMPORAL_ADDRESS", temporal.address()).await;
    eventually("three attempts to connect", || async {
        (temporal.requests("GetClusterInfo") >= 3).then_some(())
    })
    .await;

    temporal.allow("GetClusterInfo");

    stack.start_worker().await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.wait_for_status(&accepted, "completed").await;
    for process in [&stack.api, &stack.worker] {
        let log = process.as_ref().expect("a running process").log();
        assert_eq!(log.matches("search attributes not checked").count(), 1, "{log}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_database_that_is_down_when_temporal_is_connected_is_reported() {
    let temporal = Proxy::to(&servers::temporal()).await;
    temporal.cut();
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", temporal.address());
    let mut stack = Stack::without_processes(options).await;
    let (database, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    stack.client.wait_for_start_problem("temporal_unreachable").await;
    database.cut();

    temporal.restore();

    stack.client.wait_for_start_problem("database_unavailable").await;
    assert_eq!(stack.client.get("/ready").await.status(), 503);
    database.restore();
    stack.client.wait_for_start_problem("no_worker").await;
    stack.stop().await;
}

//! Tests with a database that is read-only or accepts only small writes.

use diagflow_tests::dedicated_servers::DedicatedMariaDb;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, eventually};
use reqwest::{Response, StatusCode};
use serde_json::Value;

async fn ready(stack: &Stack, address: &str) -> Response {
    let url = format!("http://{}/ready", stack.setting(address));
    reqwest::get(url).await.expect("a response")
}

async fn wait_for_readiness(stack: &Stack, expected: StatusCode) {
    for address in ["LISTEN_ADDRESS", "WORKER_LISTEN_ADDRESS"] {
        eventually(format!("{expected} at {address}"), || async {
            (ready(stack, address).await.status() == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_is_ready_only_if_the_database_accepts_writes() {
    let database = DedicatedMariaDb::start().await;
    let options = StackOptions { mysql: Some(database.url()), ..StackOptions::default() };
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "completed").await;

    database.as_root("SET GLOBAL read_only = 1").await;

    wait_for_readiness(&stack, StatusCode::SERVICE_UNAVAILABLE).await;
    let readiness: Value =
        ready(&stack, "LISTEN_ADDRESS").await.json().await.expect("a JSON document");
    assert_eq!(readiness["database"], "read_only");
    let problem = ready(&stack, "WORKER_LISTEN_ADDRESS").await.text().await.expect("a text");
    assert_eq!(problem, "the database is read-only");
    let document = stack.client.status(&accepted).await.expect("a status");
    assert_eq!(document["status"], "completed", "patients must still be able to read their status");

    database.as_root("SET GLOBAL read_only = 0").await;
    wait_for_readiness(&stack, StatusCode::OK).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_result_that_the_database_rejects_fails_the_submission() {
    let database = DedicatedMariaDb::start().await;
    database.as_root("SET GLOBAL max_allowed_packet = 1048576").await;
    let options = StackOptions { mysql: Some(database.url()), ..StackOptions::default() };
    let (stack, accepted) = Stack::with_submission(options.scenario("status=huge:2MB")).await;

    stack.wait_for_status(&accepted, "failed").await;

    let submission = stack.store.submission(id_of(&accepted)).await.expect("a response");
    let submission = submission.expect("a submission");
    assert_eq!(submission.error_code.as_deref(), Some("records_too_large"));
    let log = stack.worker.as_ref().expect("a running process").log();
    assert!(log.contains("error 1153"), "{log}");
    let warning = "a database server limit is too small for the largest result";
    assert!(log.contains(warning) && log.contains("max_allowed_packet"), "{log}");
    stack.stop().await;
}

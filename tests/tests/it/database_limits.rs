//! Tests with a database that is read-only, accepts only small writes or rejects the end of a run.

use diagflow_store::Failpoint;
use diagflow_tests::assertions::{failed, wait_ended_once};
use diagflow_tests::dedicated_servers::DedicatedMariaDb;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, eventually, history, photos, temporal_cli,
};
use reqwest::{Response, StatusCode};
use serde_json::Value;

/// Poll interval in seconds, long enough that only the final poll takes place.
const A_WEEK: &str = "604800";

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

/// Starts a server that rejects LoopAI's results, and returns options for a stack that uses it.
async fn rejecting_results() -> (DedicatedMariaDb, StackOptions) {
    let database = DedicatedMariaDb::start().await;
    database.as_root("SET GLOBAL max_allowed_packet = 1048576").await;
    let options = StackOptions { mysql: Some(database.url()), ..StackOptions::default() };
    (database, options.scenario("status=huge:2MB, delay=0s"))
}

#[tokio::test]
async fn a_run_ends_if_the_database_rejects_the_result_of_the_final_poll() {
    let (_database, options) = rejecting_results().await;
    let options =
        options.with("DIAGNOSIS_DEADLINE_SECONDS", "2").with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_ended_once(&stack, &accepted, failed("records_too_large")).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_run_ends_if_it_is_cancelled_while_the_database_rejects_its_result() {
    let (_database, options) = rejecting_results().await;
    let stack = Stack::with(options).await;
    stack.failpoints.arm(Failpoint::AfterPollAnswered);
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterPollAnswered).await;

    temporal_cli::submission_workflow("cancel", &accepted, &[]).await;
    stack.failpoints.release(Failpoint::AfterPollAnswered);

    wait_ended_once(&stack, &accepted, failed("records_too_large")).await;
    stack.stop().await;
}

/// A constraint that rejects every end of a run.
const REJECT_ENDS: &str = "ALTER TABLE deliveries ADD CONSTRAINT no_ends CHECK (copy < 0)";

/// Waits until the run has closed without a recorded end, then repairs the database.
async fn assert_recovers_from_rejected_end(stack: Stack, accepted: &AcceptedSubmission) {
    assert_eq!(history::wait_until_closed(&stack, accepted).await, "Failed");
    let document = stack.client.status(accepted).await.expect("a response");
    assert_eq!(document["status"], "processing", "{document}");

    stack.database.execute("ALTER TABLE deliveries DROP CONSTRAINT no_ends").await;

    let document = stack.wait_for_status(accepted, "failed").await;
    assert_eq!(document["error"]["code"], "run_orphaned", "{document}");
    stack.stop().await;
}

/// The run polls LoopAI only at its deadline.
fn only_final_poll() -> StackOptions {
    let options = StackOptions::default().scenario("stuck").reconcile_soon();
    options.with("DIAGNOSIS_POLL_SECONDS", A_WEEK)
}

#[tokio::test]
async fn a_run_closes_if_the_database_rejects_its_end_at_the_deadline() {
    let options = only_final_poll().with("DIAGNOSIS_DEADLINE_SECONDS", "5");
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;

    stack.database.execute(REJECT_ENDS).await;

    assert_recovers_from_rejected_end(stack, &accepted).await;
}

#[tokio::test]
async fn a_run_closes_if_the_database_rejects_its_cancellation() {
    let (stack, accepted) = Stack::with_submission(only_final_poll()).await;
    stack.wait_for_status(&accepted, "processing").await;
    stack.database.execute(REJECT_ENDS).await;

    temporal_cli::submission_workflow("cancel", &accepted, &[]).await;

    assert_recovers_from_rejected_end(stack, &accepted).await;
}

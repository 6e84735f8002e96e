//! The rows for deploying a new version.

use crate::client::ApiClient;
use crate::eventually;
use crate::faults::load::Load;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::process::Process;
use crate::replay;
use crate::stack::{StackOptions, fast_loopai};
use diagflow_simulators::loopai;
use diagflow_store::Failpoint;

const PATIENTS: usize = 4;
const BATCH: usize = 4;
/// Execution delay, long enough for streams to be still open when an API process stops.
const SLOW_MS: u64 = 1500;
/// Graceful shutdown timeout, which must exceed every wait in this row.
const LONG_SECONDS: &str = "200";

/// Every recorded history can be replayed with the current workflow code. Each incompatible change is detected by
/// exactly those histories that reach the changed code.
pub(crate) async fn workflow_code_changed() -> RowReport {
    assert_eq!(replay::failures().await, Vec::<String>::new());
    assert_eq!(replay::wrong_verdicts_on_incompatible_changes().await, Vec::<String>::new());
    Testbed::start(StackOptions::default()).await.report().await
}

/// Two API processes and two workers are restarted one by one with SIGTERM, so one API and one worker are always
/// running. When they are stopped, the first API is processing a submission, and each worker is executing an activity.
pub(crate) async fn rolling_restart() -> RowReport {
    let slow = loopai::Settings { delay_ms: SLOW_MS, ..fast_loopai() };
    let options = StackOptions { loopai: Some(slow), ..StackOptions::default() }
        .with("REQUEST_TIMEOUT_SECONDS", LONG_SECONDS)
        .with("SHUTDOWN_TIMEOUT_SECONDS", LONG_SECONDS)
        .with("WORKER_SHUTDOWN_TIMEOUT_SECONDS", LONG_SECONDS);
    let mut testbed = Testbed::start(options).await;
    testbed.stack.failpoints.arm(Failpoint::AfterSubmissionCommit);
    let email = testbed.new_patient();
    let pending = testbed.send(&email, None);
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterSubmissionCommit).await;
    let (replica, other) = testbed.stack.start_replica().await;
    let load = Load::start(PATIENTS, &[testbed.stack.client.clone(), other.clone()]);
    load.wait_for_accepted(BATCH).await;

    wait_for_listeners(&testbed.stack.client).await;
    let api = testbed.stack.api.take().expect("a running process");
    assert_graceful_stop(&testbed, &load, api, Failpoint::AfterSubmissionCommit).await;
    let response =
        pending.await.expect("a finished task").expect("a response from the stopping API");
    testbed.record_sent(response, &email).await;
    wait_for_resumed_streams(&load, 0).await;
    testbed.stack.start_api().await;
    load.wait_for_accepted(BATCH).await;
    wait_for_listeners(&other).await;
    let resumed = load.resumed();
    replica.stop().await;
    wait_for_resumed_streams(&load, resumed).await;
    let replica = testbed.stack.start_replica_at(&other).await;
    load.wait_for_accepted(BATCH).await;

    // The failpoint is armed while only one worker is running to ensure that this worker is paused.
    testbed.stack.failpoints.arm(Failpoint::AfterPollAnswered);
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterPollAnswered).await;
    let (second, address) = testbed.stack.start_second_worker().await;
    let first = testbed.stack.worker.take().expect("a running process");
    assert_graceful_stop(&testbed, &load, first, Failpoint::AfterPollAnswered).await;
    testbed.stack.failpoints.arm(Failpoint::AfterRequestAnswered);
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterRequestAnswered).await;
    testbed.stack.start_worker().await;
    assert_graceful_stop(&testbed, &load, second, Failpoint::AfterRequestAnswered).await;
    let second = testbed.stack.start_second_worker_at(&address).await;
    load.wait_for_accepted(BATCH).await;

    for followed in load.stop().await {
        testbed.record_followed(followed);
    }
    let report = testbed.report().await;
    replica.stop().await;
    second.stop().await;
    report
}

/// Stops a process that is paused at a failpoint. It must first finish its current request or activity. Meanwhile, the
/// other processes accept and complete submissions.
async fn assert_graceful_stop(
    testbed: &Testbed,
    load: &Load,
    mut process: Process,
    failpoint: Failpoint,
) {
    process.terminate();
    eventually("the process to log SIGTERM", || async {
        process.log().contains("signal=\"SIGTERM\"").then_some(())
    })
    .await;
    let before = completed(testbed).await;
    load.wait_for_accepted(BATCH).await;
    eventually("the other processes to complete submissions", || async {
        (completed(testbed).await >= before + BATCH as i64).then_some(())
    })
    .await;
    process.assert_alive();
    testbed.stack.failpoints.release(failpoint);
    process.stop().await;
}

async fn completed(testbed: &Testbed) -> i64 {
    let count = "SELECT COUNT(*) FROM submissions WHERE status = 'completed'";
    testbed.stack.database.number(count).await
}

async fn wait_for_listeners(api: &ApiClient) {
    eventually("an open stream", || async {
        let metrics = api.get("/metrics").await.text().await.ok()?;
        let mut lines = metrics.lines();
        let open = lines.find_map(|line| line.strip_prefix("diagflow_event_streams_open "))?;
        (open.parse::<f64>().ok()? > 0.0).then_some(())
    })
    .await;
}

async fn wait_for_resumed_streams(load: &Load, before: usize) {
    eventually("a stream to be resumed", || async { (load.resumed() > before).then_some(()) })
        .await;
}

//! The rows for faults that occur between storing a submission and starting its workflow.

use crate::dedicated_servers::DedicatedTemporal;
use crate::eventually::{LIMIT, eventually, within};
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::photos;
use crate::ports::NOWHERE;
use crate::stack::{Stack, StackOptions, id_of};
use crate::{AcceptedSubmission, ApiClient};
use diagflow_store::Failpoint;
use diagflow_workflows::SubmissionRef;
use futures::StreamExt;
use std::time::Duration;
use temporalio_client::WorkflowListOptions;

/// On one testbed, the API is killed before it calls Temporal. On another, it is killed after Temporal has started the
/// workflow but before the start is recorded.
pub(crate) async fn killed_before_the_start() -> RowReport {
    killed_at(Failpoint::BeforeRunStart).await.merge(killed_at(Failpoint::AfterRunStart).await)
}

async fn killed_at(failpoint: Failpoint) -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    testbed.stack.failpoints.arm(failpoint);
    testbed.submit().await;
    testbed.kill_api_at(failpoint).await;
    testbed.report().await
}

/// Two sweepers select the same run. The first one claims the run and is then paused. Once the claim has expired, the
/// second one starts the run before the first one continues.
pub(crate) async fn two_sweepers() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    let unstarted = leave_unstarted(&mut testbed).await;
    testbed.stack.failpoints.arm(Failpoint::BeforeRunsClaimed);
    let (first, at_first) = testbed.stack.start_replica().await;
    testbed.stack.failpoints.wait_until_reached(Failpoint::BeforeRunsClaimed).await;
    // Only sweepers start these runs, and the first sweeper is paused. Once a later run has completed, the second
    // sweeper must have skipped the run selected by the first one.
    let later = leave_unstarted(&mut testbed).await;
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    testbed.stack.wait_for_status(&later, "completed").await;
    assert_eq!(execution_of(&testbed, &unstarted).await, None, "reserved for the first sweeper");
    let queued = testbed.stack.store.count_queued_runs(Duration::ZERO).await.expect("the database");
    assert_eq!(queued, 1, "the first sweeper's run must be the only one in the queue");

    testbed.stack.failpoints.arm(Failpoint::BeforeRunStart);
    testbed.stack.failpoints.release(Failpoint::BeforeRunsClaimed);
    testbed.stack.failpoints.wait_until_reached(Failpoint::BeforeRunStart).await;
    assert_eq!(execution_of(&testbed, &unstarted).await, None, "claimed but not started");
    // The claim does not expire for 30 s, so this wait needs a longer time limit than usual.
    within(2 * LIMIT, "the second sweeper to start the run", || async {
        let document = testbed.stack.client.status(&unstarted).await.ok()?;
        (document["status"] == "completed").then_some(())
    })
    .await;
    let started = execution_of(&testbed, &unstarted).await;
    assert!(started.is_some(), "started by the second sweeper");
    // Fails unless the first sweeper is still paused.
    testbed.stack.failpoints.release(Failpoint::BeforeRunStart);
    // The first sweeper starts runs one by one, so once it has started the next run, its late attempt is over.
    let (email, photo) = (testbed.new_patient(), photos::cat());
    let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
    let response = at_first.post(&body, None).await.expect("a response");
    let next = testbed.record_accepted(response, &email, "", &[photo]).await;
    testbed.stack.wait_for_status(&next, "completed").await;
    first.stop().await;
    assert_eq!(execution_of(&testbed, &unstarted).await, started, "the late start has no effect");
    assert_eq!(executions(&testbed.stack, &unstarted.submission_id).await, 1);
    testbed.report().await
}

/// Returns the Temporal run id of a submission's only run, or `None` if it has not been started.
async fn execution_of(testbed: &Testbed, submission: &AcceptedSubmission) -> Option<String> {
    let runs = testbed.stack.store.runs(id_of(submission)).await.expect("runs");
    let [run] = runs.as_slice() else { panic!("expected one run: {runs:?}") };
    run.temporal_run_id.clone()
}

/// Returns a submission whose run has not been started. The API that accepts it cannot reach Temporal and is then
/// killed.
async fn leave_unstarted(testbed: &mut Testbed) -> AcceptedSubmission {
    let temporal = testbed.stack.setting("TEMPORAL_ADDRESS");
    testbed.stack.set("TEMPORAL_ADDRESS", NOWHERE);
    testbed.stack.start_api().await;
    let unstarted = testbed.submit().await;
    testbed.stack.api.take().expect("a running process").kill();
    testbed.stack.set("TEMPORAL_ADDRESS", temporal);
    unstarted
}

async fn executions(stack: &Stack, submission_id: &str) -> usize {
    let query = format!("WorkflowId = '{}'", SubmissionRef::new(submission_id).workflow_id());
    let temporal = stack.temporal().await;
    // Temporal's workflow list is eventually consistent.
    eventually("Temporal to list the workflow", || async {
        let found = temporal.list_workflows(query.clone(), WorkflowListOptions::default());
        let count = found.filter(|found| std::future::ready(found.is_ok())).count().await;
        (count > 0).then_some(count)
    })
    .await
}

/// Submissions are accepted while Temporal is down, and complete once it is available again.
pub(crate) async fn temporal_down() -> RowReport {
    let mut temporal = DedicatedTemporal::start().await;
    let options = StackOptions { temporal: Some(temporal.address()), ..StackOptions::default() };
    let mut testbed = Testbed::start(options).await;
    let in_progress = testbed.submit_with_comments("[sim: delay=1s]").await;
    testbed.stack.wait_for_status(&in_progress, "processing").await;

    temporal.kill();
    testbed.submit_many(5).await;
    let ready = testbed.stack.client.get("/ready").await;
    assert!(ready.status().is_success(), "the API accepts submissions");
    temporal.restart().await;

    testbed.report().await
}

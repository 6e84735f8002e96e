//! Between the records and Temporal.

use crate::dedicated_servers::DedicatedTemporal;
use crate::eventually::{LIMIT, eventually, within};
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::photos;
use crate::stack::{Stack, StackOptions, id_of};
use crate::{AcceptedSubmission, ApiClient};
use diagflow_store::Failpoint;
use diagflow_workflows::SubmissionRef;
use futures::StreamExt;
use std::time::Duration;
use temporalio_client::WorkflowListOptions;

/// Killed before Temporal was asked, and again after it had started the run but nobody had noted it.
pub(crate) async fn killed_before_the_start() -> RowReport {
    killed_at(Failpoint::BeforeRunStart).await.merge(killed_at(Failpoint::AfterRunStart).await)
}

async fn killed_at(boundary: Failpoint) -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    testbed.stack.failpoints.arm(boundary);
    testbed.submit().await;
    testbed.kill_api_at(boundary).await;
    testbed.report().await
}

/// One sweeper has chosen a leftover when the other sweeps; then one has claimed it, is held up until its claim
/// is over, and goes on when the other has started it.
pub(crate) async fn two_sweepers() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    let unstarted = leave_unstarted(&mut testbed).await;
    testbed.stack.failpoints.arm(Failpoint::BeforeRunsClaimed);
    let (first, at_first) = testbed.stack.start_replica().await;
    testbed.stack.failpoints.wait_until_reached(Failpoint::BeforeRunsClaimed).await;
    // Nobody but a sweeper starts what is left over, and the first one is held. So when a later leftover comes
    // to its end, the second one has swept, and has passed over what the first one had chosen.
    let later = leave_unstarted(&mut testbed).await;
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    testbed.stack.wait_for_status(&later, "completed").await;
    assert_eq!(execution_of(&testbed, &unstarted).await, None, "it is the first one's");
    let queued = testbed.stack.store.count_queued_runs(Duration::ZERO).await.expect("the records");
    assert_eq!(queued, 1, "only the first one's leftover waits, so it is what is held next");

    testbed.stack.failpoints.arm(Failpoint::BeforeRunStart);
    testbed.stack.failpoints.release(Failpoint::BeforeRunsClaimed);
    testbed.stack.failpoints.wait_until_reached(Failpoint::BeforeRunStart).await;
    assert_eq!(execution_of(&testbed, &unstarted).await, None, "claimed, not started");
    // The claim's 30 s pass, half of the usual limit, and the second one starts it.
    within(2 * LIMIT, "the second one to start it", || async {
        let document = testbed.stack.client.status(&unstarted).await.ok()?;
        (document["status"] == "completed").then_some(())
    })
    .await;
    let started = execution_of(&testbed, &unstarted).await;
    assert!(started.is_some(), "it has the second one's execution");
    // Fails unless the first one is still held.
    testbed.stack.failpoints.release(Failpoint::BeforeRunStart);
    // It starts one after the other, so its late start is over when it has started what it is sent now.
    let (email, photo) = (testbed.new_patient(), photos::cat());
    let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
    let answer = at_first.post(&body, None).await.expect("an answer");
    let next = testbed.record_accepted(answer, &email, "", &[photo]).await;
    testbed.stack.wait_for_status(&next, "completed").await;
    first.stop().await;
    assert_eq!(execution_of(&testbed, &unstarted).await, started, "the late start changed nothing");
    assert_eq!(executions(&testbed.stack, &unstarted.submission_id).await, 1);
    testbed.report().await
}

/// Temporal's name of the only run of a submission; none while nobody has started it.
async fn execution_of(testbed: &Testbed, submission: &AcceptedSubmission) -> Option<String> {
    let runs = testbed.stack.store.runs(id_of(submission)).await.expect("runs");
    let [run] = runs.as_slice() else { panic!("not one run: {runs:?}") };
    run.temporal_run_id.clone()
}

/// A submission whose run nobody has started: taken by an API that never reaches Temporal, and is killed.
async fn leave_unstarted(testbed: &mut Testbed) -> AcceptedSubmission {
    let temporal = testbed.stack.setting("TEMPORAL_ADDRESS");
    testbed.stack.set("TEMPORAL_ADDRESS", "127.0.0.1:1");
    testbed.stack.start_api().await;
    let unstarted = testbed.submit().await;
    testbed.stack.api.take().expect("runs").kill();
    testbed.stack.set("TEMPORAL_ADDRESS", temporal);
    unstarted
}

/// How many executions of a submission's workflow Temporal knows.
async fn executions(stack: &Stack, submission_id: &str) -> usize {
    let query = format!("WorkflowId = '{}'", SubmissionRef::new(submission_id).workflow_id());
    let temporal = stack.temporal().await;
    // What Temporal lists lags a little behind what it knows.
    eventually("Temporal to list it", || async {
        let found = temporal.list_workflows(query.clone(), WorkflowListOptions::default());
        let count = found.filter(|found| std::future::ready(found.is_ok())).count().await;
        (count > 0).then_some(count)
    })
    .await
}

/// Submissions are taken while Temporal is away, and come to their end when it is back.
pub(crate) async fn temporal_down() -> RowReport {
    let mut temporal = DedicatedTemporal::start().await;
    let options = StackOptions { temporal: Some(temporal.address()), ..StackOptions::default() };
    let mut testbed = Testbed::start(options).await;
    let in_progress = testbed.submit_with_comments("[sim: delay=1s]").await;
    testbed.stack.wait_for_status(&in_progress, "processing").await;

    temporal.kill();
    testbed.submit_many(5).await;
    let ready = testbed.stack.client.get("/ready").await;
    assert!(ready.status().is_success(), "submissions are taken");
    temporal.restart().await;

    testbed.report().await
}

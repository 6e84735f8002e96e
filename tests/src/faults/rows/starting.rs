//! Between the records and Temporal.

use crate::eventually::{LIMIT, eventually, within};
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::own_servers::OwnTemporal;
use crate::photos;
use crate::stack::{Stack, StackOptions, id_of};
use crate::{Accepted, ApiClient};
use diagflow_store::Failpoint;
use diagflow_workflows::workflow_id;
use futures::StreamExt;
use std::time::Duration;
use temporalio_client::WorkflowListOptions;

/// Killed before Temporal was asked, and again after it had started the run but nobody had noted it.
pub(crate) async fn killed_before_the_start() -> Report {
    killed_at(Failpoint::RunUnstarted).await.and(killed_at(Failpoint::RunStarted).await)
}

async fn killed_at(boundary: Failpoint) -> Report {
    let mut world = World::start(StackOptions::default()).await;
    world.stack.failpoints.arm(boundary);
    world.submit().await;
    world.api_dies_at(boundary).await;
    world.report().await
}

/// One sweeper has chosen a leftover when the other sweeps; then one has claimed it, is held up until its claim
/// is over, and goes on when the other has started it.
pub(crate) async fn two_sweepers() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    let leftover = leave_over(&mut world).await;
    world.stack.failpoints.arm(Failpoint::SweepUnclaimed);
    let (first, at_first) = world.stack.start_replica().await;
    world.stack.failpoints.reached(Failpoint::SweepUnclaimed).await;
    // Nobody but a sweeper starts what is left over, and the first one is held. So when a later leftover comes
    // to its end, the second one has swept, and has passed over what the first one had chosen.
    let later = leave_over(&mut world).await;
    world.stack.start_api().await;
    world.stack.start_worker().await;
    world.stack.until(&later, "completed").await;
    assert_eq!(execution_of(&world, &leftover).await, None, "it is the first one's");
    let queued = world.stack.store.queued_runs(Duration::ZERO).await.expect("the records");
    assert_eq!(queued, 1, "only the first one's leftover waits, so it is what is held next");

    world.stack.failpoints.arm(Failpoint::RunUnstarted);
    world.stack.failpoints.release(Failpoint::SweepUnclaimed);
    world.stack.failpoints.reached(Failpoint::RunUnstarted).await;
    assert_eq!(execution_of(&world, &leftover).await, None, "claimed, not started");
    // The claim's 30 s pass, half of the usual limit, and the second one starts it.
    within(2 * LIMIT, "the second one to start it", || async {
        let document = world.stack.client.status(&leftover).await.ok()?;
        (document["status"] == "completed").then_some(())
    })
    .await;
    let started = execution_of(&world, &leftover).await;
    assert!(started.is_some(), "it has the second one's execution");
    // Fails unless the first one is still held.
    world.stack.failpoints.release(Failpoint::RunUnstarted);
    // It starts one after the other, so its late start is over when it has started what it is sent now.
    let (email, photo) = (world.patient(), photos::cat());
    let body = ApiClient::body(&email, "", std::slice::from_ref(&photo));
    let answer = at_first.post(&body, None).await.expect("an answer");
    let next = world.acknowledge(answer, &email, "", &[photo]).await;
    world.stack.until(&next, "completed").await;
    first.stopped().await;
    assert_eq!(execution_of(&world, &leftover).await, started, "the late start changed nothing");
    assert_eq!(executions(&world.stack, &leftover.submission_id).await, 1);
    world.report().await
}

/// Temporal's name of the only run of a submission; none while nobody has started it.
async fn execution_of(world: &World, submission: &Accepted) -> Option<String> {
    let runs = world.stack.store.runs(id_of(submission)).await.expect("runs");
    let [run] = runs.as_slice() else { panic!("not one run: {runs:?}") };
    run.temporal_run_id.clone()
}

/// A submission whose run nobody has started: taken by an API that never reaches Temporal, and is killed.
async fn leave_over(world: &mut World) -> Accepted {
    let temporal = world.stack.variable("TEMPORAL_ADDRESS");
    world.stack.set("TEMPORAL_ADDRESS", "127.0.0.1:1");
    world.stack.start_api().await;
    let leftover = world.submit().await;
    world.stack.api.take().expect("runs").kill();
    world.stack.set("TEMPORAL_ADDRESS", temporal);
    leftover
}

/// How many executions of a submission's workflow Temporal knows.
async fn executions(stack: &Stack, submission_id: &str) -> usize {
    let query = format!("WorkflowId = '{}'", workflow_id(submission_id));
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
pub(crate) async fn temporal_down() -> Report {
    let mut temporal = OwnTemporal::start().await;
    let options = StackOptions { temporal: Some(temporal.address()), ..StackOptions::default() };
    let mut world = World::start(options).await;
    let under_way = world.submit_saying("[sim: delay=1s]").await;
    world.stack.until(&under_way, "processing").await;

    temporal.kill();
    world.submit_many(5).await;
    let ready = world.stack.client.get("/ready").await;
    assert!(ready.status().is_success(), "submissions are taken");
    temporal.restart().await;

    world.report().await
}

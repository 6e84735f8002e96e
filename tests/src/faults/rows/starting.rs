//! Between the records and Temporal.

use crate::eventually;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::own_servers::OwnTemporal;
use crate::stack::{Stack, StackOptions, id_of};
use diagflow_store::Failpoint;
use diagflow_workflows::workflow_id;
use futures::StreamExt;
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

/// One sweeper has chosen a leftover when the other looks; then one has claimed it, is held up until its claim
/// is over, and goes on when the other has started it.
pub(crate) async fn two_sweepers() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    let leftover = leave_over(&mut world).await;
    world.stack.failpoints.arm(Failpoint::SweepUnclaimed);
    let (first, _) = world.stack.start_replica().await;
    world.stack.failpoints.reached(Failpoint::SweepUnclaimed).await;
    // The first one sweeps and is held; the second one sweeps meanwhile, and passes over what is chosen.
    world.stack.start_api().await;
    world.stack.start_worker().await;
    world.submit().await;
    world.stack.failpoints.arm(Failpoint::RunUnstarted);
    world.stack.failpoints.release(Failpoint::SweepUnclaimed);
    world.stack.failpoints.reached(Failpoint::RunUnstarted).await;
    // The claim's 30 s pass, and the second one starts it.
    world.stack.until(&leftover, "completed").await;
    world.stack.failpoints.release(Failpoint::RunUnstarted);
    let id = id_of(&leftover);
    let report = world.stack.store.runs(id).await.expect("runs");
    assert_eq!(report.len(), 1, "{report:?}");
    assert_eq!(executions(&world.stack, &leftover.submission_id).await, 1);
    first.stopped().await;
    world.report().await
}

/// A submission whose run nobody has started: taken by an API that never reaches Temporal, and is killed.
async fn leave_over(world: &mut World) -> crate::Accepted {
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

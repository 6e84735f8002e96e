//! A new version goes out, and the code that it brings.

use crate::client::ApiClient;
use crate::eventually;
use crate::faults::load::Load;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::process::Process;
use crate::replay;
use crate::stack::{StackOptions, usual_loopai};
use diagflow_simulators::loopai;
use diagflow_store::Failpoint;

/// Patients at work meanwhile, and submissions between two restarts.
const PATIENTS: usize = 4;
const SOME: usize = 4;
/// How long LoopAI takes: long enough that streams are open whenever an API ends.
const SLOW_MS: u64 = 1500;
/// Seconds that work in hand is given at the end: more than everything that is waited for meanwhile may take.
const LONG: &str = "200";

/// Every recorded history replays with the workflow code of today, and each careless change in a copy of it is caught
/// by those that pass the changed place.
pub(crate) async fn changed_code() -> Report {
    assert_eq!(replay::failures().await, Vec::<String>::new());
    assert_eq!(replay::careless_changes_that_pass().await, Vec::<String>::new());
    World::start(StackOptions::default()).await.report().await
}

/// Two APIs and two workers are asked to end (SIGTERM) and started again, one after the other, so that there is
/// one of each at work all the time. The first API has a submission in hand then, each worker an activity.
pub(crate) async fn one_by_one() -> Report {
    let slow = loopai::Settings { delay_ms: SLOW_MS, ..usual_loopai() };
    let options = StackOptions { loopai: Some(slow), ..StackOptions::default() }
        .with("REQUEST_TIMEOUT_SECONDS", LONG)
        .with("SHUTDOWN_TIMEOUT_SECONDS", LONG)
        .with("WORKER_SHUTDOWN_SECONDS", LONG);
    let mut world = World::start(options).await;
    world.stack.failpoints.arm(Failpoint::SubmissionStored);
    let email = world.patient();
    let in_hand = world.send(&email, None);
    world.stack.failpoints.reached(Failpoint::SubmissionStored).await;
    let (replica, other) = world.stack.start_replica().await;
    let load = Load::of(PATIENTS, &[world.stack.client.clone(), other.clone()]);
    load.goes_on(SOME).await;

    has_listeners(&world.stack.client).await;
    let api = world.stack.api.take().expect("runs");
    ends_with_work_in_hand(&world, &load, api, Failpoint::SubmissionStored).await;
    let answer = in_hand.await.expect("ran").expect("an answer, though its API was asked to end");
    world.acknowledge_sent(answer, &email).await;
    streams_are_resumed(&load, 0).await;
    world.stack.start_api().await;
    load.goes_on(SOME).await;
    has_listeners(&other).await;
    let resumed = load.resumed();
    replica.stopped().await;
    streams_are_resumed(&load, resumed).await;
    let replica = world.stack.start_replica_at(&other).await;
    load.goes_on(SOME).await;

    // Held while there is no other worker, so it is this one.
    world.stack.failpoints.arm(Failpoint::LookAnswered);
    world.stack.failpoints.reached(Failpoint::LookAnswered).await;
    let (second, address) = world.stack.start_second_worker().await;
    let first = world.stack.worker.take().expect("runs");
    ends_with_work_in_hand(&world, &load, first, Failpoint::LookAnswered).await;
    world.stack.failpoints.arm(Failpoint::RequestAnswered);
    world.stack.failpoints.reached(Failpoint::RequestAnswered).await;
    world.stack.start_worker().await;
    ends_with_work_in_hand(&world, &load, second, Failpoint::RequestAnswered).await;
    let second = world.stack.start_second_worker_at(&address).await;
    load.goes_on(SOME).await;

    for followed in load.stop().await {
        world.promise(followed);
    }
    let report = world.report().await;
    replica.stopped().await;
    second.stopped().await;
    report
}

/// Asks a process to end while it is held at `boundary`. It does not end before that work has; meanwhile the
/// others take submissions and complete them.
async fn ends_with_work_in_hand(
    world: &World,
    load: &Load,
    mut process: Process,
    boundary: Failpoint,
) {
    process.ask_to_stop();
    eventually("the process to hear it", || async {
        process.log().contains("SIGTERM: ending").then_some(())
    })
    .await;
    let before = completed(world).await;
    load.goes_on(SOME).await;
    eventually("others to complete submissions", || async {
        (completed(world).await >= before + SOME as i64).then_some(())
    })
    .await;
    process.assert_alive();
    world.stack.failpoints.release(boundary);
    process.stopped().await;
}

async fn completed(world: &World) -> i64 {
    let count = "SELECT COUNT(*) FROM submissions WHERE status = 'completed'";
    world.stack.database.number(count).await
}

/// Waits until streams are open at this API.
async fn has_listeners(api: &ApiClient) {
    eventually("somebody to listen", || async {
        let metrics = api.get("/metrics").await.text().await.ok()?;
        let mut lines = metrics.lines();
        let open = lines.find_map(|line| line.strip_prefix("diagflow_event_streams_open "))?;
        (open.parse::<f64>().ok()? > 0.0).then_some(())
    })
    .await;
}

/// Waits until listeners had to open their streams again, more often than `before`.
async fn streams_are_resumed(load: &Load, before: usize) {
    eventually("a stream to be resumed", || async { (load.resumed() > before).then_some(()) })
        .await;
}

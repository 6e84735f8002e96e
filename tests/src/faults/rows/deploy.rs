//! A new version goes out, and the code that it brings.

use crate::faults::load::Load;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::replay;
use crate::stack::StackOptions;

/// Patients at work meanwhile, and submissions between two restarts.
const PATIENTS: usize = 4;
const SOME: usize = 8;

/// Every recorded history replays with the workflow code of today, and a careless change is caught by each.
pub(crate) async fn changed_code() -> Report {
    assert_eq!(replay::failures().await, Vec::<String>::new());
    assert_eq!(replay::careless_changes_that_pass().await, Vec::<String>::new());
    World::start(StackOptions::default()).await.report().await
}

/// Both API processes and the worker are asked to end (SIGTERM) and started again, one after the other.
pub(crate) async fn one_by_one() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let (replica, other) = world.stack.start_replica().await;
    let load = Load::of(PATIENTS, &[world.stack.client.clone(), other]);
    load.goes_on(SOME).await;

    world.stack.api.take().expect("runs").stopped().await;
    load.goes_on(SOME).await;
    world.stack.start_api().await;
    replica.stopped().await;
    load.goes_on(SOME).await;
    world.stack.worker.take().expect("runs").stopped().await;
    load.goes_on(SOME).await;
    world.stack.start_worker().await;
    load.goes_on(SOME).await;

    for (accepted, email) in load.stop().await {
        world.promise(accepted, &email);
    }
    world.report().await
}

//! LoopAI.

use crate::Accepted;
use crate::eventually::{self, LIMIT, eventually};
use crate::faults::ledger::End;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::stack::StackOptions;
use diagflow_simulators::loopai::{ExecutionState, RequestRecord};
use diagflow_store::{Failpoint, GateState};
use std::collections::BTreeMap;

/// With limits that let a silent LoopAI be noticed within a second.
fn impatient() -> StackOptions {
    StackOptions::default().with("LOOPAI_TIMEOUT_SECONDS", "1")
}

/// A script for the simulator, and the faulty answers that it gives then: how often, to which method, as the log
/// writes them.
type Played = (&'static str, &'static [(usize, &'static str, &'static str)]);

/// Submits one for each script, and waits until all are completed. Every fault of each was met.
async fn play(scripts: &[Played]) -> Report {
    let mut world = World::start(impatient()).await;
    let mut all = Vec::new();
    for (script, _) in scripts {
        all.push(world.submit_saying(&format!("[sim: {script}, delay=100ms]")).await);
    }
    for submission in &all {
        world.stack.until(submission, "completed").await;
    }
    let mut met = BTreeMap::new();
    for request in world.stack.loopai.requests() {
        if let Some(fault) = request.fault {
            *met.entry((request.method, fault)).or_insert(0) += 1;
        }
    }
    let mut owed = BTreeMap::new();
    for (times, method, fault) in scripts.iter().flat_map(|(_, faults)| faults.iter()) {
        *owed.entry(((*method).to_owned(), (*fault).to_owned())).or_insert(0) += times;
    }
    assert_eq!(met, owed, "what LoopAI did, and what it was to do");
    world.report().await
}

/// Down, busy, silent, and now and then: all of it heals, for the request as for the looks.
pub(crate) async fn down_and_busy() -> Report {
    let one_by_one = play(&[
        ("diagnose=500*2", &[(2, "POST", "500")]),
        ("diagnose=429:1s*2", &[(2, "POST", "429:1s")]),
        ("diagnose=hang*1", &[(1, "POST", "hang")]),
        ("diagnose=reset*1", &[(1, "POST", "reset")]),
        ("diagnose=accept+500*1", &[(1, "POST", "500")]),
        ("diagnose=accept+hang*1", &[(1, "POST", "hang")]),
        ("status=500*2", &[(2, "GET", "500")]),
        ("status=429:1s*2", &[(2, "GET", "429:1s")]),
        ("status=hang*1", &[(1, "GET", "hang")]),
        ("status=503*1, then status=reset*1", &[(1, "GET", "503"), (1, "GET", "reset")]),
    ]);
    one_by_one.await.and(flapping().await)
}

/// Down for everybody and up again, twice: those who come meanwhile wait, and none is lost.
async fn flapping() -> Report {
    const MANY: usize = 6;
    let mut world = World::start(impatient()).await;
    for down in 1..=2 {
        world.stack.loopai.set_scenario("diagnose=503".parse().expect("a scenario"));
        world.submit_many(MANY).await;
        eventually("LoopAI to be taken for away", || async {
            let gate = world.stack.store.loopai_use().await.ok()?.gate;
            (gate == GateState::Shut).then_some(())
        })
        .await;
        world.stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
        // Those who wait come again after a minute at most.
        eventually::within(3 * LIMIT, "LoopAI to be taken for back", || async {
            let gate = world.stack.store.loopai_use().await.ok()?.gate;
            (gate != GateState::Shut && completed(&world) >= down * MANY).then_some(())
        })
        .await;
    }
    world.report().await
}

fn completed(world: &World) -> usize {
    let all = world.stack.loopai.executions();
    all.iter().filter(|execution| execution.state == ExecutionState::Completed).count()
}

/// Answers that are none: for a while they are waited out, and none of them is taken for a result.
pub(crate) async fn nonsense() -> Report {
    play(&[
        ("diagnose=html*1", &[(1, "POST", "html")]),
        ("diagnose=truncated*1", &[(1, "POST", "truncated")]),
        ("diagnose=no-id*1", &[(1, "POST", "no-id")]),
        ("diagnose=huge:50MB*1", &[(1, "POST", "huge:50000KB")]),
        ("diagnose=redirect*1", &[(1, "POST", "redirect")]),
        ("status=html*1", &[(1, "GET", "html")]),
        ("status=truncated*1", &[(1, "GET", "truncated")]),
        ("status=unknown:RESTING*2", &[(2, "GET", "unknown:RESTING")]),
        ("status=huge:50MB*1", &[(1, "GET", "huge:50000KB")]),
        ("status=redirect*1", &[(1, "GET", "redirect")]),
    ])
    .await
}

/// Stuck beyond the deadline; done just before the last look; done just after it.
pub(crate) async fn around_the_deadline() -> Report {
    let options = StackOptions::default()
        .scenario("stuck*3, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", "10")
        // The one look that there is comes at the deadline.
        .with("DIAGNOSIS_POLL_SECONDS", "60");
    let mut world = World::start(options).await;
    let stuck = world.submit().await;
    world.ends(&stuck, &[End::TIMED_OUT]);
    world.stack.until(&stuck, "timed_out").await;

    let before = world.submit().await;
    world.stack.until(&before, "processing").await;
    complete(&world, &before);
    world.stack.until(&before, "completed").await;

    world.stack.failpoints.arm(Failpoint::LookAnswered);
    let after = world.submit().await;
    world.ends(&after, &[End::TIMED_OUT]);
    world.stack.failpoints.reached(Failpoint::LookAnswered).await;
    // It said that it was at work.
    complete(&world, &after);
    world.stack.failpoints.release(Failpoint::LookAnswered);
    world.stack.until(&after, "timed_out").await;

    world.stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    world.report().await
}

fn complete(world: &World, submission: &Accepted) {
    let id = Some(submission.submission_id.as_str());
    let executions = world.stack.loopai.executions();
    let execution = executions.iter().find(|one| one.submission_id.as_deref() == id);
    let id = &execution.expect("an execution").execution_id;
    world.stack.loopai.complete(id).expect("is under way");
}

/// An execution that LoopAI forgets for a while, and one that it forgets for good.
pub(crate) async fn forgotten_executions() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let for_a_while = world.submit_saying("[sim: status=404*3, delay=100ms]").await;
    world.stack.until(&for_a_while, "completed").await;
    let forgotten = |request: &RequestRecord| request.fault.as_deref() == Some("404");
    let times = world.stack.loopai.requests().iter().filter(|it| forgotten(it)).count();
    assert_eq!(times, 3, "it was forgotten");
    let gone = world.submit_saying("[sim: status=404, delay=100ms]").await;
    world.ends(&gone, &[End::failed("loopai_not_found")]);
    world.report().await
}

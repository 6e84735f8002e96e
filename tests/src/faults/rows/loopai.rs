//! LoopAI.

use crate::Accepted;
use crate::faults::ledger::End;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::stack::StackOptions;
use diagflow_store::Failpoint;

/// With limits that let a silent LoopAI be noticed within a second.
fn impatient() -> StackOptions {
    StackOptions::default().with("LOOPAI_TIMEOUT_SECONDS", "1")
}

/// Submits one for each script, and waits until each stands as `status`.
async fn play(world: &mut World, scripts: &[&str], status: &str) -> Vec<Accepted> {
    let mut all = Vec::new();
    for script in scripts {
        all.push(world.submit_saying(&format!("[sim: {script}]")).await);
    }
    for submission in &all {
        world.stack.until(submission, status).await;
    }
    all
}

/// Down, busy, silent, and now and then: all of it heals, for the request as for the looks.
pub(crate) async fn down_and_busy() -> Report {
    let scripts = [
        "diagnose=500*2, delay=100ms",
        "diagnose=429:1s*2, delay=100ms",
        "diagnose=hang*1, delay=100ms",
        "diagnose=reset*1, delay=100ms",
        "diagnose=accept+500*1, delay=100ms",
        "diagnose=accept+hang*1, delay=100ms",
        "status=500*2, delay=100ms",
        "status=429:1s*2, delay=100ms",
        "status=hang*1, delay=100ms",
        "status=500*1, status=503*1, then status=reset*1, delay=400ms",
    ];
    let mut world = World::start(impatient()).await;
    play(&mut world, &scripts, "completed").await;
    world.report().await
}

/// Answers that are none: for a while they are waited out, and none of them is taken for a result.
pub(crate) async fn nonsense() -> Report {
    let scripts = [
        "diagnose=html*1, delay=100ms",
        "diagnose=truncated*1, delay=100ms",
        "diagnose=no-id*1, delay=100ms",
        "diagnose=huge:50MB*1, delay=100ms",
        "diagnose=redirect*1, delay=100ms",
        "status=html*1, delay=100ms",
        "status=truncated*1, delay=100ms",
        "status=unknown:RESTING*2, delay=100ms",
        "status=huge:50MB*1, delay=100ms",
        "status=redirect*1, delay=100ms",
    ];
    let mut world = World::start(impatient()).await;
    play(&mut world, &scripts, "completed").await;
    world.report().await
}

/// Stuck beyond the deadline; done just before the last look; done just after it.
pub(crate) async fn around_the_deadline() -> Report {
    let options = StackOptions::default()
        .scenario("stuck*3, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", "4")
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
    play(&mut world, &["status=404*3, delay=100ms"], "completed").await;
    let gone = world.submit_saying("[sim: status=404, delay=100ms]").await;
    world.ends(&gone, &[End::failed("loopai_not_found")]);
    world.report().await
}

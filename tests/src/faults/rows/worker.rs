//! The worker goes away.

use crate::eventually;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::history;
use crate::stack::StackOptions;
use diagflow_store::Failpoint;
use futures::StreamExt;

/// Worlds beside one another: each mostly waits until Temporal takes the dead worker for dead, 10 s.
const AT_ONCE: usize = 4;

/// Killed at each boundary in turn, each time in a world of its own; another worker takes over.
pub(crate) async fn killed_at_every_boundary() -> Report {
    let worlds = futures::stream::iter(Failpoint::OF_ACTIVITIES).map(killed_at);
    worlds.buffer_unordered(AT_ONCE).fold(Report::default(), async |all, one| all.and(one)).await
}

/// LoopAI took the request and nobody wrote it down: the repeat gets the same execution.
pub(crate) async fn killed_after_the_answer() -> Report {
    killed_at(Failpoint::RequestAnswered).await.and(killed_at(Failpoint::LookAnswered).await)
}

async fn killed_at(boundary: Failpoint) -> Report {
    // A claim on an e-mail ends this long after its worker's death.
    let mut options = StackOptions::default().with("SMTP_ANSWER_SECONDS", "2");
    if matches!(boundary, Failpoint::EndBegun | Failpoint::EndRecorded) {
        options = options.with("DIAGNOSIS_DEADLINE_SECONDS", "2").scenario("stuck*1, delay=100ms");
    }
    let mut world = World::start(options).await;
    world.stack.failpoints.arm(boundary);
    world.submit().await;
    world.worker_dies_at(boundary).await;
    world.report().await
}

/// All timers fall due while there is no worker; whoever comes then catches up.
pub(crate) async fn away_while_timers_fall_due() -> Report {
    const MANY: usize = 10;
    let options = StackOptions::default().scenario("stuck*10, delay=100ms");
    let mut world = World::start(options).await;
    let submissions = world.submit_many(MANY).await;
    for submission in &submissions {
        world.stack.until(submission, "processing").await;
    }
    world.stack.worker.take().expect("runs").kill();
    for submission in &submissions {
        eventually("the timer to fall due", || async {
            let counts = history::count(&history::events(&world.stack, submission).await);
            let of = |name| counts.get(name).copied().unwrap_or(0);
            let (started, fired) = (of("EVENT_TYPE_TIMER_STARTED"), of("EVENT_TYPE_TIMER_FIRED"));
            (started > 0 && started == fired).then_some(())
        })
        .await;
    }
    for execution in world.stack.loopai.executions() {
        world.stack.loopai.complete(&execution.execution_id).expect("is under way");
    }
    world.stack.start_worker().await;
    world.report().await
}

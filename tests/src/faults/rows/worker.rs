//! The worker goes away.

use crate::eventually;
use crate::faults::ledger::End;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::history;
use crate::stack::{StackOptions, usual_loopai};
use diagflow_simulators::loopai;
use diagflow_store::Failpoint;
use futures::StreamExt;

/// Worlds beside one another: each mostly waits until Temporal takes the dead worker for dead, 10 s.
const AT_ONCE: usize = 4;

/// Killed at each boundary in turn, each time in a world of its own; another worker takes over.
pub(crate) async fn killed_at_every_boundary() -> Report {
    let worlds = futures::stream::iter(Failpoint::OF_ACTIVITIES).map(killed_at);
    worlds.buffer_unordered(AT_ONCE).fold(Report::default(), async |all, one| all.and(one)).await
}

/// LoopAI took the request and nobody wrote it down. With a key, the repeat gets the same execution. A LoopAI that
/// knows no keys begins a second one, and the one that is recorded is the one that counts; after a look, nothing
/// is asked twice in any case.
pub(crate) async fn killed_after_the_answer() -> Report {
    let mut all = Report::default();
    for (boundary, executions) in [(Failpoint::RequestAnswered, 2), (Failpoint::LookAnswered, 1)] {
        let keyless = loopai::Settings { honour_idempotency: false, ..usual_loopai() };
        let options = StackOptions { loopai: Some(keyless), ..StackOptions::default() };
        let mut world = World::start(options).await;
        world.terms.executions_per_run = executions;
        world.stack.failpoints.arm(boundary);
        let submission = world.submit().await;
        world.worker_dies_at(boundary).await;
        world.stack.until(&submission, "completed").await;
        let asked = world.stack.loopai.executions().len();
        assert_eq!(asked, executions, "{boundary:?}: this LoopAI knows no keys");
        all = all.and(world.report().await);
    }
    all.and(killed_at(Failpoint::RequestAnswered).await)
}

async fn killed_at(boundary: Failpoint) -> Report {
    // A claim on an e-mail ends this long after its worker's death.
    let mut options = StackOptions::default().with("SMTP_ANSWER_SECONDS", "2");
    let is_of_an_end = matches!(boundary, Failpoint::EndBegun | Failpoint::EndRecorded);
    if is_of_an_end {
        options = options.with("DIAGNOSIS_DEADLINE_SECONDS", "2").scenario("stuck*1, delay=100ms");
    }
    let mut world = World::start(options).await;
    if matches!(boundary, Failpoint::MailClaimed | Failpoint::MailTaken) {
        // Whoever comes after the dead worker cannot know how far it had come.
        world.terms.mails = &["sent", "unknown"];
    }
    world.stack.failpoints.arm(boundary);
    let submission = world.submit().await;
    if is_of_an_end {
        world.ends(&submission, &[End::TIMED_OUT]);
    }
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

//! The worker goes away.

use crate::Accepted;
use crate::eventually;
use crate::faults::ledger::End;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::history;
use crate::stack::{StackOptions, usual_loopai};
use diagflow_simulators::loopai::{self, ExecutionRecord};
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

/// Timers fall due while there is no worker, and then the deadline of a run does; whoever comes then catches up.
pub(crate) async fn away_while_timers_fall_due() -> Report {
    away_for_a_look().await.and(away_beyond_the_deadline().await)
}

/// How many timers of a submission's run were started, and how many have fired.
async fn timers(world: &World, submission: &Accepted) -> (usize, usize) {
    let counts = history::count(&history::events(&world.stack, submission).await);
    let of = |name| counts.get(name).copied().unwrap_or(0);
    (of("EVENT_TYPE_TIMER_STARTED"), of("EVENT_TYPE_TIMER_FIRED"))
}

/// Submits so many that LoopAI does not complete by itself, and waits until each run waits for its next look.
async fn waiting_for_a_look(world: &mut World, many: usize) -> Vec<Accepted> {
    let submissions = world.submit_many(many).await;
    for submission in &submissions {
        eventually("a look to be waited for", || async {
            let (started, fired) = timers(world, submission).await;
            (started == fired + 1).then_some(())
        })
        .await;
    }
    submissions
}

async fn away_for_a_look() -> Report {
    const MANY: usize = 10;
    let options = StackOptions::default()
        .scenario("stuck*10, delay=100ms")
        // Longer than it takes to begin them all.
        .with("DIAGNOSIS_POLL_SECONDS", "12");
    let mut world = World::start(options).await;
    let submissions = waiting_for_a_look(&mut world, MANY).await;
    world.stack.worker.take().expect("runs").kill();
    for submission in &submissions {
        let (started, fired) = timers(&world, submission).await;
        assert_eq!(started, fired + 1, "its timer is not due when the worker dies");
    }
    for submission in &submissions {
        eventually("the timer to fall due", || async {
            let (started, fired) = timers(&world, submission).await;
            (started == fired).then_some(())
        })
        .await;
    }
    for execution in world.stack.loopai.executions() {
        world.stack.loopai.complete(&execution.execution_id).expect("is under way");
    }
    world.stack.start_worker().await;
    world.report().await
}

/// When somebody works again, the run's time is over; what LoopAI has done by then is not lost.
async fn away_beyond_the_deadline() -> Report {
    const DEADLINE: u32 = 12;
    let options = StackOptions::default()
        .scenario("stuck*2, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", DEADLINE.to_string());
    let mut world = World::start(options).await;
    let [done, stuck] = &waiting_for_a_look(&mut world, 2).await[..] else { unreachable!() };
    world.stack.worker.take().expect("runs").kill();
    world.ends(stuck, &[End::TIMED_OUT]);
    let executions = world.stack.loopai.executions();
    let of_done = |one: &&ExecutionRecord| one.submission_id.as_ref() == Some(&done.submission_id);
    let execution = executions.iter().find(of_done).expect("an execution");
    world.stack.loopai.complete(&execution.execution_id).expect("is under way");
    let over = format!(
        "SELECT COUNT(*) FROM submissions WHERE created_at < NOW(6) - INTERVAL {} SECOND",
        DEADLINE + 2
    );
    eventually("the deadline to be over", || async {
        (world.stack.database.number(&over).await == 2).then_some(())
    })
    .await;
    world.stack.start_worker().await;
    world.report().await
}

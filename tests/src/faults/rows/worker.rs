//! The worker goes away.

use crate::AcceptedSubmission;
use crate::eventually;
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::history;
use crate::stack::{StackOptions, fast_loopai};
use diagflow_simulators::loopai::{self, ExecutionRecord};
use diagflow_store::Failpoint;
use futures::StreamExt;

/// Worlds beside one another: each mostly waits until Temporal takes the dead worker for dead, 10 s.
const CONCURRENT_TESTBEDS: usize = 4;

/// Killed at each boundary in turn, each time in a world of its own; another worker takes over.
pub(crate) async fn killed_at_every_boundary() -> RowReport {
    let testbeds = futures::stream::iter(Failpoint::IN_ACTIVITIES).map(killed_at);
    testbeds
        .buffer_unordered(CONCURRENT_TESTBEDS)
        .fold(RowReport::default(), async |all, one| all.merge(one))
        .await
}

/// LoopAI took the request and nobody wrote it down. With a key, the repeat gets the same execution. A LoopAI that
/// knows no keys begins a second one, and the one that is recorded is the one that counts; after a look, nothing
/// is asked twice in any case.
pub(crate) async fn killed_after_the_answer() -> RowReport {
    let mut all = RowReport::default();
    for (boundary, executions) in
        [(Failpoint::AfterRequestAnswered, 2), (Failpoint::AfterPollAnswered, 1)]
    {
        let without_idempotency = loopai::Settings { honour_idempotency: false, ..fast_loopai() };
        let options = StackOptions { loopai: Some(without_idempotency), ..StackOptions::default() };
        let mut testbed = Testbed::start(options).await;
        testbed.tolerances.executions_per_run = executions;
        testbed.stack.failpoints.arm(boundary);
        let submission = testbed.submit().await;
        testbed.kill_worker_at(boundary).await;
        testbed.stack.wait_for_status(&submission, "completed").await;
        let started = testbed.stack.loopai.executions().len();
        assert_eq!(started, executions, "{boundary:?}: this LoopAI knows no keys");
        all = all.merge(testbed.report().await);
    }
    all.merge(killed_at(Failpoint::AfterRequestAnswered).await)
}

async fn killed_at(boundary: Failpoint) -> RowReport {
    // A claim on an e-mail ends this long after its worker's death.
    let mut options = StackOptions::default().with("SMTP_RESPONSE_TIMEOUT_SECONDS", "2");
    let ends_run = matches!(boundary, Failpoint::BeforeEndRecorded | Failpoint::AfterEndRecorded);
    if ends_run {
        options = options.with("DIAGNOSIS_DEADLINE_SECONDS", "2").scenario("stuck*1, delay=100ms");
    }
    let mut testbed = Testbed::start(options).await;
    if matches!(boundary, Failpoint::AfterMailClaimed | Failpoint::AfterMailAccepted) {
        // Whoever comes after the dead worker cannot know how far it had come.
        testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    }
    testbed.stack.failpoints.arm(boundary);
    let submission = testbed.submit().await;
    if ends_run {
        testbed.allow_ends(&submission, &[ExpectedEnd::TIMED_OUT]);
    }
    testbed.kill_worker_at(boundary).await;
    testbed.report().await
}

/// Timers fall due while there is no worker, and then the deadline of a run does; whoever comes then catches up.
pub(crate) async fn down_while_timers_fire() -> RowReport {
    down_during_poll_wait().await.merge(down_past_the_deadline().await)
}

/// How many timers of a submission's run were started, and how many have fired.
async fn timers(testbed: &Testbed, submission: &AcceptedSubmission) -> (usize, usize) {
    let counts = history::count_by_type(&history::events(&testbed.stack, submission).await);
    let of = |name| counts.get(name).copied().unwrap_or(0);
    (of("EVENT_TYPE_TIMER_STARTED"), of("EVENT_TYPE_TIMER_FIRED"))
}

/// Submits so many that LoopAI does not complete by itself, and waits until each run waits for its next look.
async fn wait_for_poll_timer(testbed: &mut Testbed, many: usize) -> Vec<AcceptedSubmission> {
    let submissions = testbed.submit_many(many).await;
    for submission in &submissions {
        eventually("a look to be waited for", || async {
            let (started, fired) = timers(testbed, submission).await;
            (started == fired + 1).then_some(())
        })
        .await;
    }
    submissions
}

async fn down_during_poll_wait() -> RowReport {
    const MANY: usize = 10;
    let options = StackOptions::default()
        .scenario("stuck*10, delay=100ms")
        // Longer than it takes to begin them all.
        .with("DIAGNOSIS_POLL_SECONDS", "12");
    let mut testbed = Testbed::start(options).await;
    let submissions = wait_for_poll_timer(&mut testbed, MANY).await;
    testbed.stack.worker.take().expect("runs").kill();
    for submission in &submissions {
        let (started, fired) = timers(&testbed, submission).await;
        assert_eq!(started, fired + 1, "its timer is not due when the worker dies");
    }
    for submission in &submissions {
        eventually("the timer to fall due", || async {
            let (started, fired) = timers(&testbed, submission).await;
            (started == fired).then_some(())
        })
        .await;
    }
    for execution in testbed.stack.loopai.executions() {
        testbed.stack.loopai.complete(&execution.execution_id).expect("is under way");
    }
    testbed.stack.start_worker().await;
    testbed.report().await
}

/// When somebody works again, the run's time is over; what LoopAI has done by then is not lost.
async fn down_past_the_deadline() -> RowReport {
    const DEADLINE: u32 = 12;
    let options = StackOptions::default()
        .scenario("stuck*2, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", DEADLINE.to_string());
    let mut testbed = Testbed::start(options).await;
    let [done, stuck] = &wait_for_poll_timer(&mut testbed, 2).await[..] else { unreachable!() };
    testbed.stack.worker.take().expect("runs").kill();
    testbed.allow_ends(stuck, &[ExpectedEnd::TIMED_OUT]);
    let executions = testbed.stack.loopai.executions();
    let of_done = |one: &&ExecutionRecord| one.submission_id.as_ref() == Some(&done.submission_id);
    let execution = executions.iter().find(of_done).expect("an execution");
    testbed.stack.loopai.complete(&execution.execution_id).expect("is under way");
    let over = format!(
        "SELECT COUNT(*) FROM submissions WHERE created_at < NOW(6) - INTERVAL {} SECOND",
        DEADLINE + 2
    );
    eventually("the deadline to be over", || async {
        (testbed.stack.database.number(&over).await == 2).then_some(())
    })
    .await;
    testbed.stack.start_worker().await;
    testbed.report().await
}

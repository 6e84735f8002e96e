use crate::AcceptedSubmission;
use crate::eventually;
use crate::eventually::{LIMIT, within};
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::history;
use crate::stack::{StackOptions, fast_loopai};
use diagflow_simulators::loopai::{self, ExecutionRecord};
use diagflow_store::Failpoint;
use futures::StreamExt;

/// Number of testbeds to run concurrently. They mostly wait for Temporal's 10 s timeout for a dead worker.
const CONCURRENT_TESTBEDS: usize = 4;

/// Each failpoint gets a separate testbed. The worker is killed at the failpoint, and another worker takes over.
pub(crate) async fn killed_at_every_failpoint() -> RowReport {
    let testbeds = futures::stream::iter(Failpoint::IN_ACTIVITIES).map(killed_at);
    testbeds
        .buffer_unordered(CONCURRENT_TESTBEDS)
        .fold(RowReport::default(), async |all, one| all.merge(one))
        .await
}

/// The worker is killed after LoopAI has accepted the request but before the execution is recorded. With idempotency
/// keys, the retry returns the same execution. Without them, LoopAI starts a second execution, which is then recorded.
/// If the worker is killed after a poll, there is only one execution in both cases.
pub(crate) async fn killed_after_the_response() -> RowReport {
    let mut all = RowReport::default();
    for (failpoint, executions) in
        [(Failpoint::AfterRequestAnswered, 2), (Failpoint::AfterPollAnswered, 1)]
    {
        let without_idempotency = loopai::Settings { honour_idempotency: false, ..fast_loopai() };
        let options = StackOptions { loopai: Some(without_idempotency), ..StackOptions::default() };
        let mut testbed = Testbed::start(options).await;
        testbed.tolerances.executions_per_run = executions;
        testbed.stack.failpoints.arm(failpoint);
        let submission = testbed.submit().await;
        testbed.kill_worker_at(failpoint).await;
        testbed.stack.wait_for_status(&submission, "completed").await;
        let started = testbed.stack.loopai.executions().len();
        assert_eq!(started, executions, "{failpoint:?}: without idempotency keys");
        all = all.merge(testbed.report().await);
    }
    all.merge(killed_at(Failpoint::AfterRequestAnswered).await)
}

async fn killed_at(failpoint: Failpoint) -> RowReport {
    // The next attempt to send the e-mail must wait until the killed worker's claim expires.
    let mut options = StackOptions::default().with("SMTP_RESPONSE_TIMEOUT_SECONDS", "2");
    let ends_run = matches!(failpoint, Failpoint::BeforeEndRecorded | Failpoint::AfterEndRecorded);
    if ends_run {
        options = options.with("DIAGNOSIS_DEADLINE_SECONDS", "2").scenario("stuck*1, delay=100ms");
    }
    let mut testbed = Testbed::start(options).await;
    if matches!(failpoint, Failpoint::AfterMailClaimed | Failpoint::AfterMailAccepted) {
        // The next worker cannot know whether the e-mail was sent.
        testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    }
    testbed.stack.failpoints.arm(failpoint);
    let submission = testbed.submit().await;
    if ends_run {
        testbed.allow_ends(&submission, &[ExpectedEnd::TIMED_OUT]);
    }
    testbed.kill_worker_at(failpoint).await;
    testbed.report().await
}

/// No worker is running while timers fire and, later, while a deadline passes. The next worker resumes the runs.
pub(crate) async fn down_while_timers_fire() -> RowReport {
    down_during_poll_wait().await.merge(down_past_the_deadline().await)
}

/// Returns how many timers have been started and how many have fired.
async fn timers(testbed: &Testbed, submission: &AcceptedSubmission) -> (usize, usize) {
    let counts = history::count_by_type(&history::events(&testbed.stack, submission).await);
    let of = |name| counts.get(name).copied().unwrap_or(0);
    (of("EVENT_TYPE_TIMER_STARTED"), of("EVENT_TYPE_TIMER_FIRED"))
}

/// Sends submissions and waits until each run has started the timer for its next poll.
async fn wait_for_poll_timer(testbed: &mut Testbed, many: usize) -> Vec<AcceptedSubmission> {
    let submissions = testbed.submit_many(many).await;
    for submission in &submissions {
        eventually("the timer of the next poll", || async {
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
        // The interval must exceed the time needed to start all runs.
        .with("DIAGNOSIS_POLL_SECONDS", "12");
    let mut testbed = Testbed::start(options).await;
    let submissions = wait_for_poll_timer(&mut testbed, MANY).await;
    testbed.stack.worker.take().expect("a running process").kill();
    for submission in &submissions {
        let (started, fired) = timers(&testbed, submission).await;
        assert_eq!(started, fired + 1, "the timer has not fired when the worker is killed");
    }
    for submission in &submissions {
        eventually("the timer to fire", || async {
            let (started, fired) = timers(&testbed, submission).await;
            (started == fired).then_some(())
        })
        .await;
    }
    for execution in testbed.stack.loopai.executions() {
        testbed.stack.loopai.complete(&execution.execution_id).expect("an execution in progress");
    }
    testbed.stack.start_worker().await;
    testbed.report().await
}

/// The deadline passes before the next worker starts. Any results LoopAI has produced by then are not lost.
async fn down_past_the_deadline() -> RowReport {
    const DEADLINE: u32 = 12;
    let options = StackOptions::default()
        .scenario("stuck*2, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", DEADLINE.to_string());
    let mut testbed = Testbed::start(options).await;
    let [done, stuck] = &wait_for_poll_timer(&mut testbed, 2).await[..] else { unreachable!() };
    testbed.stack.worker.take().expect("a running process").kill();
    testbed.allow_ends(stuck, &[ExpectedEnd::TIMED_OUT]);
    let executions = testbed.stack.loopai.executions();
    let of_done = |one: &&ExecutionRecord| one.submission_id.as_ref() == Some(&done.submission_id);
    let execution = executions.iter().find(of_done).expect("an execution");
    testbed.stack.loopai.complete(&execution.execution_id).expect("an execution in progress");
    let over = format!(
        "SELECT COUNT(*) FROM submissions WHERE created_at < NOW(6) - INTERVAL {} SECOND",
        DEADLINE + 2
    );
    eventually("the deadline to pass", || async {
        (testbed.stack.database.number(&over).await == 2).then_some(())
    })
    .await;
    testbed.stack.start_worker().await;
    testbed.report().await
}

/// The worker is frozen for a minute, with runs open and e-mails pending, and then continues.
pub(crate) async fn frozen_for_a_minute() -> RowReport {
    const OPEN: usize = 5;
    let options = StackOptions::default().scenario(&format!("stuck*{OPEN}, delay=100ms"));
    let mut testbed = Testbed::start(options).await;
    testbed.submit_many(OPEN).await;
    eventually("polls of all runs", || async {
        let all = testbed.stack.loopai.executions();
        (all.len() == OPEN && all.iter().all(|one| one.polls > 0)).then_some(())
    })
    .await;
    let worker = testbed.stack.worker.as_ref().expect("a running process");
    worker.freeze();
    let frozen_at = testbed.stack.database.number("SELECT UNIX_TIMESTAMP()").await;
    testbed.submit_many(OPEN).await;
    for execution in testbed.stack.loopai.executions() {
        testbed.stack.loopai.complete(&execution.execution_id).expect("an execution in progress");
    }
    let over = format!("SELECT UNIX_TIMESTAMP() >= {frozen_at} + 60");
    within(2 * LIMIT, "a minute to pass", || async {
        (testbed.stack.database.number(&over).await == 1).then_some(())
    })
    .await;
    testbed.stack.worker.as_ref().expect("a running process").unfreeze();
    testbed.report().await
}

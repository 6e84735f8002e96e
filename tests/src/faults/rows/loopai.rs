use crate::AcceptedSubmission;
use crate::eventually::{self, LIMIT, eventually};
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use diagflow_simulators::loopai::{ExecutionState, RequestRecord};
use diagflow_store::{BreakerState, Failpoint};
use std::collections::BTreeMap;

/// Returns options that make a request to LoopAI fail after one second without a response.
fn with_short_timeouts() -> StackOptions {
    StackOptions::default().with("LOOPAI_TIMEOUT_SECONDS", "1")
}

/// A LoopAI simulator scenario, with the count, method and name of each fault it must have injected.
type ScriptedFaults = (&'static str, &'static [(usize, &'static str, &'static str)]);

/// Sends one submission for each scenario, waits until all submissions are completed, and checks that every fault
/// occurred.
async fn run_scripts(scripts: &[ScriptedFaults]) -> RowReport {
    let mut testbed = Testbed::start(with_short_timeouts()).await;
    let mut all = Vec::new();
    for (script, _) in scripts {
        all.push(testbed.submit_with_comments(&format!("[sim: {script}, delay=100ms]")).await);
    }
    for submission in &all {
        testbed.stack.wait_for_status(submission, "completed").await;
    }
    let mut observed = BTreeMap::new();
    for request in testbed.stack.loopai.requests() {
        if let Some(fault) = request.fault {
            *observed.entry((request.method, fault)).or_insert(0) += 1;
        }
    }
    let mut expected = BTreeMap::new();
    for (times, method, fault) in scripts.iter().flat_map(|(_, faults)| faults.iter()) {
        *expected.entry(((*method).to_owned(), (*fault).to_owned())).or_insert(0) += times;
    }
    assert_eq!(observed, expected, "the faults injected by the LoopAI simulator");
    testbed.report().await
}

/// Submissions complete even though LoopAI is unavailable, busy, silent or flapping during requests and polls.
pub(crate) async fn unavailable_and_busy() -> RowReport {
    let one_by_one = run_scripts(&[
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
    one_by_one.await.merge(flapping().await)
}

/// LoopAI becomes unavailable twice. Submissions wait until LoopAI is available again.
async fn flapping() -> RowReport {
    const MANY: usize = 6;
    let mut testbed = Testbed::start(with_short_timeouts()).await;
    for down in 1..=2 {
        testbed.stack.loopai.set_scenario("diagnose=503".parse().expect("a scenario"));
        testbed.submit_many(MANY).await;
        eventually("the circuit breaker to open", || async {
            let breaker = testbed.stack.store.loopai_usage().await.ok()?.breaker;
            (breaker == BreakerState::Open).then_some(())
        })
        .await;
        testbed.stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
        // Runs waiting for the circuit breaker are retried within a minute.
        eventually::within(3 * LIMIT, "the circuit breaker to let requests pass", || async {
            let breaker = testbed.stack.store.loopai_usage().await.ok()?.breaker;
            (breaker != BreakerState::Open && completed(&testbed) >= down * MANY).then_some(())
        })
        .await;
    }
    testbed.report().await
}

fn completed(testbed: &Testbed) -> usize {
    let all = testbed.stack.loopai.executions();
    all.iter().filter(|execution| execution.state == ExecutionState::Completed).count()
}

/// Requests that get an invalid response are retried, and the invalid response is not stored as a result.
pub(crate) async fn invalid_responses() -> RowReport {
    run_scripts(&[
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

/// One execution never completes, one completes just before the last poll, and one just after it.
pub(crate) async fn around_the_deadline() -> RowReport {
    let options = StackOptions::default()
        .scenario("stuck*3, delay=100ms")
        .with("DIAGNOSIS_DEADLINE_SECONDS", "10")
        // With this interval, the only poll is at the deadline.
        .with("DIAGNOSIS_POLL_SECONDS", "60");
    let mut testbed = Testbed::start(options).await;
    let stuck = testbed.submit().await;
    testbed.allow_ends(&stuck, &[ExpectedEnd::TIMED_OUT]);
    testbed.stack.wait_for_status(&stuck, "timed_out").await;

    let before = testbed.submit().await;
    testbed.stack.wait_for_status(&before, "processing").await;
    complete(&testbed, &before);
    testbed.stack.wait_for_status(&before, "completed").await;

    testbed.stack.failpoints.arm(Failpoint::AfterPollAnswered);
    let after = testbed.submit().await;
    testbed.allow_ends(&after, &[ExpectedEnd::TIMED_OUT]);
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterPollAnswered).await;
    // In response to the last poll, LoopAI reported that the execution was still running.
    complete(&testbed, &after);
    testbed.stack.failpoints.release(Failpoint::AfterPollAnswered);
    testbed.stack.wait_for_status(&after, "timed_out").await;

    testbed.stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    testbed.report().await
}

fn complete(testbed: &Testbed, submission: &AcceptedSubmission) {
    let id = Some(submission.submission_id.as_str());
    let executions = testbed.stack.loopai.executions();
    let execution = executions.iter().find(|one| one.submission_id.as_deref() == id);
    let id = &execution.expect("an execution").execution_id;
    testbed.stack.loopai.complete(id).expect("an execution in progress");
}

/// LoopAI responds with 404 temporarily for one submission and permanently for another.
pub(crate) async fn forgotten_executions() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let temporarily = testbed.submit_with_comments("[sim: status=404*3, delay=100ms]").await;
    testbed.stack.wait_for_status(&temporarily, "completed").await;
    let forgotten = |request: &RequestRecord| request.fault.as_deref() == Some("404");
    let times = testbed.stack.loopai.requests().iter().filter(|it| forgotten(it)).count();
    assert_eq!(times, 3, "LoopAI responded with 404");
    let forgotten_for_good = testbed.submit_with_comments("[sim: status=404, delay=100ms]").await;
    testbed.allow_ends(&forgotten_for_good, &[ExpectedEnd::failed("loopai_not_found")]);
    testbed.report().await
}

//! Tests in which operators cancel, query and search for runs in Temporal, and LoopAI's callback signals a run.

use diagflow_simulators::loopai::{ExecutionRecord, RequestRecord};
use diagflow_simulators::mail::{Rule, Script, Step};
use diagflow_store::Failpoint;
use diagflow_tests::assertions::{
    UnsuccessfulEnd, cancelled, delivery, executions, failed, mails, wait_completed_once,
    wait_ended_once,
};
use diagflow_tests::cases::Case;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, eventually, history, photos};
use diagflow_workflows::DiagnosisWorkflow;
use diagflow_workflows::contract::{
    AGENT_ID, AnyInput, ExecutionId, FAILURE_CODE, RunState, RunStatus, SUBMISSION_STATUS,
    SubmissionRef,
};
use diesel_async::SimpleAsyncConnection;
use futures::StreamExt;
use futures::future::join_all;
use std::time::Duration;
use temporalio_client::{
    Client, WorkflowCancelOptions, WorkflowDescribeOptions, WorkflowHandle, WorkflowListOptions,
    WorkflowQueryOptions, WorkflowSignalOptions,
};
use temporalio_common::search_attributes::SearchAttributes;

/// Poll interval in seconds, long enough that only a signal can trigger a poll during a test.
const A_WEEK: &str = "604800";

fn scenario(script: &str) -> StackOptions {
    StackOptions::default().scenario(script)
}

async fn wait_until_finished(stack: &Stack) {
    let done = |all: &[ExecutionRecord]| all.first()?.finished_at;
    stack.loopai.wait_for(done, LIMIT).await.expect("a finished execution");
}

async fn cancel(stack: &Stack, submission: &AcceptedSubmission) {
    let handle = history::workflow_handle(stack, submission).await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("accepted");
}

async fn callback(stack: &Stack, submission: &AcceptedSubmission) {
    let handle = history::workflow_handle(stack, submission).await;
    let signal = DiagnosisWorkflow::execution_changed;
    handle.signal(signal, AnyInput, WorkflowSignalOptions::default()).await.expect("accepted");
}

async fn state(handle: &WorkflowHandle<Client, DiagnosisWorkflow>) -> RunState {
    let options = WorkflowQueryOptions::default();
    handle.query(DiagnosisWorkflow::state, AnyInput, options).await.expect("a response")
}

#[tokio::test]
async fn cancelling_a_run_ends_the_submission_and_the_stream_and_notifies_the_patient() {
    let (stack, accepted) = Stack::with_submission(scenario("stuck")).await;
    let listener = tokio::spawn(stack.client.events(&accepted, None).await.collect::<Vec<_>>());
    stack.wait_for_polls(1).await;

    cancel(&stack, &accepted).await;

    let mail = wait_ended_once(&stack, &accepted, cancelled()).await;
    assert!(mail.text.as_ref().is_some_and(|text| text.contains("there is no result")));
    let events = listener.await.expect("the end of the stream");
    let steps: Vec<_> = events.iter().filter_map(|event| event.data["step"].as_str()).collect();
    assert_eq!(steps, ["received", "diagnosing", "cancelled"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_is_cancelled_during_a_long_wait_between_polls() {
    let options = scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;

    cancel(&stack, &accepted).await;

    wait_ended_once(&stack, &accepted, cancelled()).await;
    assert_eq!(executions(&stack, &accepted)[0].polls, 0);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_is_cancelled_while_loopai_is_down() {
    let (stack, accepted) = Stack::with_submission(scenario("diagnose=503")).await;
    let third = |all: &[_]| (all.len() >= 3).then_some(());
    stack.loopai.wait_for_request(third, LIMIT).await.expect("repeated requests");

    cancel(&stack, &accepted).await;
    cancel(&stack, &accepted).await;

    wait_ended_once(&stack, &accepted, cancelled()).await;
    assert!(executions(&stack, &accepted).is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn a_cancellation_after_the_result_changes_nothing() {
    let mut options = StackOptions::default();
    let refusal = Rule::reply(Step::Rcpt, 451, "4.7.1 Later");
    options.mail.script = Script::new(vec![refusal]).expect("a script");
    let (stack, accepted) = Stack::with_submission(options).await;
    // After its result is stored, a run stays open while its e-mail is deferred.
    stack.wait_for_status(&accepted, "completed").await;
    eventually("an attempt to send the e-mail to fail", || async {
        (delivery(&stack, &accepted).await.attempts >= 1).then_some(())
    })
    .await;
    // The failpoint holds the next attempt to send the e-mail until the run has been cancelled.
    stack.failpoints.arm(Failpoint::BeforeMailClaimed);
    stack.failpoints.wait_until_reached(Failpoint::BeforeMailClaimed).await;
    stack.mail.set_script([]).expect("a script");

    cancel(&stack, &accepted).await;

    eventually("the cancellation request to be recorded", || async {
        let counts = history::count_by_type(&history::events(&stack, &accepted).await);
        counts.get("EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED").copied()
    })
    .await;
    assert_eq!(delivery(&stack, &accepted).await.status.to_string(), "planned");
    stack.failpoints.release(Failpoint::BeforeMailClaimed);
    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

/// Sends LoopAI's result and a cancellation at almost the same time. Returns how the run ended.
async fn race(stack: &Stack, number: usize) -> String {
    let email = format!("ana{number}@example.org");
    let accepted = stack.client.submit(&email, "itches", &[photos::retina()]).await;
    stack.wait_for_status(&accepted, "processing").await;
    let execution = executions(stack, &accepted)[0].execution_id.clone();
    stack.loopai.complete(&execution).expect("in progress");
    let done =
        |all: &[ExecutionRecord]| all.iter().find(|it| it.execution_id == execution)?.finished_at;
    stack.loopai.wait_for(done, LIMIT).await.expect("finished");

    // Half of the races send the signal first; the other half send the cancellation first. The delay between the two
    // grows with each race.
    let step = number as u64 / 2;
    // In the last two races, the delay is long enough that one ends with the result and the other with the
    // cancellation.
    let head_start = Duration::from_millis(if step < 10 { step * step * 5 } else { 3000 });
    let delay = async |first: bool| {
        if !first {
            tokio::time::sleep(head_start).await;
        }
    };
    tokio::join!(
        async {
            delay(number.is_multiple_of(2)).await;
            let handle = history::workflow_handle(stack, &accepted).await;
            let signal = DiagnosisWorkflow::execution_changed;
            // The signal fails if the run has already closed.
            let _ = handle.signal(signal, AnyInput, WorkflowSignalOptions::default()).await;
        },
        async {
            delay(!number.is_multiple_of(2)).await;
            let handle = history::workflow_handle(stack, &accepted).await;
            let _ = handle.cancel(WorkflowCancelOptions::default()).await;
        },
    );

    let run = history::wait_until_closed(stack, &accepted).await;
    match run.as_str() {
        "Completed" => drop(wait_completed_once(stack, &accepted).await),
        _ => drop(wait_ended_once(stack, &accepted, cancelled()).await),
    }
    let events = stack.store.events(id_of(&accepted), 0).await.expect("events");
    let ends = events.iter().filter(|event| event.step.is_terminal()).count();
    assert_eq!(ends, 1, "the run must have one end: {events:?}");
    run
}

#[tokio::test]
async fn a_cancellation_racing_a_result_ends_the_run_once() {
    let options = scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let stack = Stack::with(options).await;

    let ends = join_all((0..22).map(|number| race(&stack, number))).await;

    for end in ["Completed", "Canceled"] {
        assert!(ends.iter().any(|it| it == end), "no run ended as {end}: {ends:?}");
    }
    stack.stop().await;
}

/// Waits until LoopAI has received the first poll.
async fn wait_for_poll(stack: &Stack) {
    let poll_seen = |all: &[RequestRecord]| all.iter().any(|it| it.method == "GET").then_some(());
    stack.loopai.wait_for_request(poll_seen, LIMIT).await.expect("a poll");
}

/// Waits until the poll that was in progress during the cancellation has finished all its writes.
async fn wait_for_late_poll(stack: &mut Stack) {
    let answered = |all: &[RequestRecord]| {
        all.iter().any(|it| it.method == "GET" && it.status.is_some()).then_some(())
    };
    stack.loopai.wait_for_request(answered, LIMIT).await.expect("a response");
    // A worker does not stop until its activities have finished.
    stack.worker.take().expect("a worker").stop().await;
}

#[tokio::test]
async fn a_result_after_the_cancellation_changes_nothing() {
    // The poll is slow enough that the workflow is cancelled while it is in progress.
    let (mut stack, accepted) =
        Stack::with_submission(scenario("status=slow:15s*1, delay=0s")).await;
    wait_for_poll(&stack).await;

    cancel(&stack, &accepted).await;

    wait_ended_once(&stack, &accepted, cancelled()).await;
    wait_for_late_poll(&mut stack).await;
    wait_ended_once(&stack, &accepted, cancelled()).await;
    let result = stack.store.result(id_of(&accepted)).await.expect("records");
    assert!(result.is_none(), "{result:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_cancellation_while_the_result_is_being_stored_changes_nothing() {
    let stack = Stack::with(StackOptions::default()).await;
    stack.failpoints.arm(Failpoint::BeforePoll);
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::BeforePoll).await;
    wait_until_finished(&stack).await;
    // The lock blocks both the poll and the cancellation before they can change the submission.
    let mut held = stack.database.connect().await;
    let lock = "START TRANSACTION; SELECT id FROM submissions FOR UPDATE";
    held.batch_execute(lock).await.expect("locked");
    stack.failpoints.release(Failpoint::BeforePoll);
    let waiting = async |count: i64| {
        eventually(format!("{count} transactions to wait for the submission"), || async {
            let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE db = DATABASE() AND info LIKE 'SELECT `submissions`%FOR UPDATE%'";
            (stack.database.number(waiting).await == count).then_some(())
        })
        .await;
    };
    waiting(1).await;
    cancel(&stack, &accepted).await;
    waiting(2).await;

    held.batch_execute("ROLLBACK").await.expect("rolled back");

    // The run completes despite the cancellation because its result has already been stored.
    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_callback_triggers_an_immediate_poll() {
    let options = scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;
    let execution = stack.wait_for_polls(0).await;

    stack.loopai.complete(&execution).expect("in progress");
    wait_until_finished(&stack).await;
    callback(&stack, &accepted).await;

    wait_completed_once(&stack, &accepted).await;
    assert_eq!(executions(&stack, &accepted)[0].polls, 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_callback_before_the_execution_is_recorded_is_not_lost() {
    // The diagnosis finishes before the worker receives LoopAI's response to the request.
    let script = "diagnose=500*1, then diagnose=accept+slow:5s*1, delay=0s";
    let options = scenario(script).with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let (stack, accepted) = Stack::with_submission(options).await;
    wait_until_finished(&stack).await;

    callback(&stack, &accepted).await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_cancellation_that_arrives_as_a_wait_ends_is_not_lost() {
    let (stack, accepted) = Case::CancelledAsTimerFired.run().await;
    wait_ended_once(&stack, &accepted, cancelled()).await;
    stack.stop().await;
}

#[tokio::test]
async fn spurious_callbacks_are_harmless() {
    let options = scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", A_WEEK);
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;

    for polls in 1..=3 {
        callback(&stack, &accepted).await;
        stack.wait_for_polls(polls).await;
    }

    let status = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(status["status"], "processing");
    assert!(mails(&stack, &accepted).is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn the_state_query_reports_the_current_state_of_a_run() {
    let (stack, accepted) =
        Stack::with_submission(scenario("stuck, status=unknown*1, then status=503")).await;
    let handle = history::workflow_handle(&stack, &accepted).await;
    let execution = stack.wait_for_polls(2).await;

    let processing = eventually("a failed poll to be reported", || async {
        let state = state(&handle).await;
        state.code.is_some().then_some(state)
    })
    .await;
    assert_eq!(processing.status, RunStatus::Processing);
    assert_eq!(processing.execution_id, Some(ExecutionId::new(&execution)));
    assert_eq!(processing.code.as_deref(), Some("loopai_unavailable"));
    assert!(processing.polls >= 2, "{processing:?}");

    stack.loopai.set_scenario("".parse().expect("a scenario"));
    stack.loopai.complete(&execution).expect("in progress");
    wait_completed_once(&stack, &accepted).await;
    let done = state(&handle).await;
    assert_eq!((done.status, done.code), (RunStatus::Completed, None));
    stack.stop().await;
}

async fn attributes(stack: &Stack, submission: &AcceptedSubmission) -> SearchAttributes {
    let handle = history::workflow_handle(stack, submission).await;
    let options = WorkflowDescribeOptions::default();
    handle.describe(options).await.expect("a description").search_attributes()
}

/// Waits until a search in Temporal finds the submission's run.
async fn assert_found_by(stack: &Stack, submission: &AcceptedSubmission, query: &str) {
    let client = stack.temporal().await;
    let id = SubmissionRef::new(&submission.submission_id).workflow_id();
    let query = format!("WorkflowId = '{id}' AND {query}");
    eventually(&query, || async {
        let mut found = client.list_workflows(query.as_str(), WorkflowListOptions::default());
        found.next().await.and_then(Result::ok)
    })
    .await;
}

#[tokio::test]
async fn operators_find_runs_by_status_and_agent() {
    let options = scenario("stuck").with("LOOPAI_AGENT_ID", "7");
    let (stack, accepted) = Stack::with_submission(options).await;
    let execution = stack.wait_for_polls(1).await;

    assert_found_by(&stack, &accepted, "SubmissionStatus = 'processing' AND AgentId = 7").await;
    let processing = attributes(&stack, &accepted).await;
    assert_eq!(processing.get(&SUBMISSION_STATUS).as_deref(), Some("processing"));
    assert_eq!(processing.get(&AGENT_ID), Some(7));
    assert_eq!(processing.get(&FAILURE_CODE), None);

    stack.loopai.complete(&execution).expect("in progress");
    wait_completed_once(&stack, &accepted).await;
    assert_found_by(&stack, &accepted, "SubmissionStatus = 'completed' AND FailureCode IS NULL")
        .await;
    stack.stop().await;
}

#[tokio::test]
async fn operators_find_failed_runs_by_failure_code() {
    for (script, end) in
        [("fail", failed("loopai_failed")), ("diagnose=400", failed("loopai_refused"))]
    {
        let (stack, accepted) = Stack::with_submission(scenario(script)).await;
        wait_ended_once(&stack, &accepted, end).await;

        let UnsuccessfulEnd { code, .. } = end;
        let query = format!("SubmissionStatus = 'failed' AND FailureCode = '{code}'");
        assert_found_by(&stack, &accepted, &query).await;
        let ended = attributes(&stack, &accepted).await;
        assert_eq!(ended.get(&SUBMISSION_STATUS).as_deref(), Some("failed"));
        assert_eq!(ended.get(&FAILURE_CODE).as_deref(), Some(code));
        stack.stop().await;
    }
}

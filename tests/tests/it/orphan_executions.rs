//! Tests of workflow executions that are open in Temporal but not yet recorded in the database. The API neither ends
//! such an execution nor mistakes it for another run.

use diagflow_simulators::mail::Mail;
use diagflow_store::{Action, CancelOutcome, EndStatus, Failpoint, RetryOutcome, RunKey};
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::seeding::{audit_entry, end};
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, eventually, history, photos, servers, temporal_cli,
};
use diagflow_workflows::contract::DiagnosisInput;
use diagflow_workflows::{DiagnosisWorkflow, PollSchedule, SubmissionRef};
use std::time::Duration;
use temporalio_client::{WorkflowDescribeOptions, WorkflowStartOptions};
use uuid::Uuid;

const QUEUE: &str = "TEMPORAL_TASK_QUEUE";
const LIMIT: Duration = Duration::from_secs(60);
/// A delay that exceeds the duration of any test, so the sweeper does not start the run.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

fn queue() -> String {
    format!("test-{}", Uuid::new_v4().simple())
}

/// Sends a submission to an API that cannot reach Temporal, then stops the API, leaving the first run unstarted.
async fn accepted_without_temporal(queue: &str) -> (Stack, AcceptedSubmission) {
    let options = StackOptions::default().with(QUEUE, queue).with("TEMPORAL_ADDRESS", NOWHERE);
    let mut stack = Stack::api_only(options).await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.api.take().expect("running").stop().await;
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    (stack, accepted)
}

/// Starts a run in Temporal as the API does, but without recording the start in the database. Returns the Temporal run
/// id.
async fn start_unrecorded(stack: &Stack, run: RunKey, queue: &str) -> String {
    let input = DiagnosisInput {
        submission_id: SubmissionRef::new(run.submission),
        run: run.number,
        schedule: PollSchedule { waits_ms: vec![200], deadline_ms: 3_600_000 },
    };
    let id = input.submission_id.workflow_id();
    let options = WorkflowStartOptions::new(queue.to_owned(), id).build();
    let client = stack.temporal().await;
    let started = client.start_workflow(DiagnosisWorkflow::run, input, options).await;
    started.expect("started").run_id().expect("a run id").to_owned()
}

/// Returns the Temporal run id recorded in the database for each run of a submission.
async fn recorded_run_ids(stack: &Stack, accepted: &AcceptedSubmission) -> Vec<Option<String>> {
    let runs = stack.store.runs(id_of(accepted)).await.expect("runs");
    runs.into_iter().map(|run| run.temporal_run_id).collect()
}

/// Makes all queued runs due for the sweeper to start.
async fn make_due(stack: &Stack) {
    stack.database.execute("UPDATE runs SET start_after = NOW(6)").await;
}

/// Cancels the first run, makes it fail before the cancellation is sent to Temporal, and retries the submission.
/// Returns the second run.
async fn cancelled_and_retried(stack: &Stack, accepted: &AcceptedSubmission) -> RunKey {
    let submission = id_of(accepted);
    let first = RunKey { submission, number: 1 };
    let store = &stack.store;
    store.mark_run_started(first, &Uuid::new_v4().to_string()).await.expect("recorded");
    let cancelled = store.request_cancel(submission, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Requested(first));
    end(store, first, EndStatus::Failed, "a_code").await;
    let retried =
        store.retry_submission(submission, LONG, &audit_entry(Action::SubmissionRetry)).await;
    let RetryOutcome::Queued(second) = retried.expect("a response") else { panic!("not queued") };
    second
}

/// Waits until every cancellation has been sent to Temporal.
async fn wait_for_cancellation_sent(stack: &Stack) {
    eventually("the cancellation to be sent", || async {
        let open = stack.database.number("SELECT COUNT(cancel_after) FROM runs").await;
        (open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancellation_does_not_reach_a_newer_run_whose_start_is_unrecorded() {
    let queue = queue();
    let (mut stack, accepted) = accepted_without_temporal(&queue).await;
    let second = cancelled_and_retried(&stack, &accepted).await;
    let execution = start_unrecorded(&stack, second, &queue).await;

    stack.start_api().await;
    wait_for_cancellation_sent(&stack).await;

    let events = history::count_by_type(&history::events(&stack, &accepted).await);
    let cancel_requests = events.get("EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED");
    assert_eq!(cancel_requests, None, "{events:?}");
    stack.start_worker().await;
    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(recorded_run_ids(&stack, &accepted).await[1], Some(execution));
    stack.stop().await;
}

#[tokio::test]
async fn a_newer_run_is_not_treated_as_orphaned_while_it_is_being_started() {
    let queue = queue();
    let (mut stack, accepted) = accepted_without_temporal(&queue).await;
    cancelled_and_retried(&stack, &accepted).await;

    stack.start_api().await;
    wait_for_cancellation_sent(&stack).await;

    let document = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(document["status"], "pending", "{document}");
    make_due(&stack).await;
    stack.start_worker().await;
    stack.wait_for_status(&accepted, "completed").await;
    stack.stop().await;
}

/// Waits until the API has found an unrecorded execution and logged that no worker has adopted it.
async fn wait_for_unknown_execution(stack: &Stack) {
    eventually("the unrecorded execution to be found", || async {
        let log = stack.api.as_ref().expect("running").log();
        log.contains("no worker has adopted the open execution yet").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_whose_response_was_lost_is_recorded_by_the_execution() {
    let queue = queue();
    let (mut stack, accepted) = accepted_without_temporal(&queue).await;
    let first = RunKey { submission: id_of(&accepted), number: 1 };
    let execution = start_unrecorded(&stack, first, &queue).await;
    make_due(&stack).await;

    stack.start_api().await;
    wait_for_unknown_execution(&stack).await;

    assert_eq!(
        recorded_run_ids(&stack, &accepted).await,
        [None],
        "the API recorded an execution that may belong to another run"
    );
    stack.start_worker().await;
    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(recorded_run_ids(&stack, &accepted).await, [Some(execution)]);
    assert_eq!(stack.loopai.executions().len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn an_unrecorded_earlier_run_is_not_adopted_as_the_queued_run() {
    let queue = queue();
    let (mut stack, accepted) = accepted_without_temporal(&queue).await;
    let submission = id_of(&accepted);
    let first = RunKey { submission, number: 1 };
    let execution = start_unrecorded(&stack, first, &queue).await;
    // The run is cancelled immediately because the database has no record of its start.
    let cancelled =
        stack.store.request_cancel(submission, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Cancelled);
    let retry = audit_entry(Action::SubmissionRetry);
    stack.store.retry_submission(submission, Duration::ZERO, &retry).await.expect("queued");

    stack.start_api().await;
    wait_for_unknown_execution(&stack).await;

    assert_eq!(recorded_run_ids(&stack, &accepted).await, [None, None]);
    stack.start_worker().await;
    let earlier = stack.temporal().await.get_workflow_handle::<DiagnosisWorkflow>(
        SubmissionRef::new(&accepted.submission_id).workflow_id(),
    );
    eventually("the earlier execution to end", || async {
        let found = earlier.describe(WorkflowDescribeOptions::default()).await.ok()?;
        (found.run_id() != execution || found.close_time().is_some()).then_some(())
    })
    .await;
    make_due(&stack).await;
    stack.wait_for_status(&accepted, "completed").await;
    let recorded_run_ids = recorded_run_ids(&stack, &accepted).await;
    assert_eq!(recorded_run_ids[0], None, "the earlier execution was adopted by its cancelled run");
    assert!(
        recorded_run_ids[1].as_ref().is_some_and(|run| *run != execution),
        "{recorded_run_ids:?}"
    );
    assert_eq!(stack.loopai.executions().len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_terminated_before_its_start_was_recorded_ends_as_orphaned() {
    let options = StackOptions::default().reconcile_soon();
    let mut stack = Stack::without_processes(options).await;
    stack.failpoints.arm(Failpoint::AfterRunStart);
    stack.start_api().await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterRunStart).await;
    stack.api.take().expect("running").kill();
    stack.failpoints.release(Failpoint::AfterRunStart);
    assert_eq!(recorded_run_ids(&stack, &accepted).await, [None]);
    temporal_cli::submission_workflow("terminate", &accepted, &["--reason", "a test"]).await;

    make_due(&stack).await;
    stack.start_api().await;

    let document = stack.wait_for_status(&accepted, "failed").await;
    assert_eq!(document["error"]["code"], "run_orphaned", "{document}");
    stack.start_worker().await;
    let is_failure_email = |mail: &Mail| mail.subject == "We could not complete your diagnosis";
    stack.mail.wait_for(is_failure_email, LIMIT).await.expect("the failure e-mail");
    assert!(stack.loopai.executions().is_empty());
    stack.stop().await;
}

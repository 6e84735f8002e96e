//! Tests of inputs that operators attach to signals, queries and executions in the Temporal UI. No signal or query can
//! stop a run. An execution with an unreadable input is shown as stuck.

use diagflow_store::Role;
use diagflow_tests::assertions::{executions, mails, wait_completed_once};
use diagflow_tests::responses::{body, outcome};
use diagflow_tests::temporal_cli::{self, INPUTS};
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos};
use diagflow_workflows::SubmissionRef;
use serde_json::{Value, json};

/// Starts a run that polls LoopAI only when it receives a signal.
async fn waiting_run() -> (Stack, AcceptedSubmission) {
    let options =
        StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "604800");
    let (stack, accepted) = Stack::with_submission(options).await;
    stack.wait_for_status(&accepted, "processing").await;
    (stack, accepted)
}

async fn signal(submission: &AcceptedSubmission, name: &str, input: &[&str]) {
    let options = [&["--name", name], input].concat();
    temporal_cli::submission_workflow("signal", submission, &options).await;
}

/// Completes the execution and signals the run, then asserts that the run finds the result without a failed workflow
/// task.
async fn assert_completes(stack: Stack, accepted: AcceptedSubmission) {
    let execution = &executions(&stack, &accepted)[0].execution_id;
    stack.loopai.complete_with(execution, json!({"summary": "dry skin"})).expect("in progress");
    signal(&accepted, "execution_changed", &[]).await;
    wait_completed_once(&stack, &accepted).await;
    let events = history::count_by_type(&history::events(&stack, &accepted).await);
    assert_eq!(events.get("EVENT_TYPE_WORKFLOW_TASK_FAILED"), None, "{events:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_signal_has_the_same_effect_with_every_input() {
    let (stack, accepted) = waiting_run().await;

    for name in ["execution_changed", "make_room"] {
        for input in INPUTS {
            let polls = executions(&stack, &accepted)[0].polls;
            signal(&accepted, name, input).await;
            eventually(format!("a poll after {name} {input:?}"), || async {
                (executions(&stack, &accepted)[0].polls > polls).then_some(())
            })
            .await;
        }
    }

    assert_completes(stack, accepted).await;
}

#[tokio::test]
async fn an_unknown_signal_is_ignored() {
    let (stack, accepted) = waiting_run().await;

    for input in INPUTS {
        signal(&accepted, "no_such_signal", input).await;
    }

    assert_completes(stack, accepted).await;
}

#[tokio::test]
async fn a_query_is_answered_with_every_input() {
    let (stack, accepted) = waiting_run().await;

    let id = SubmissionRef::new(&accepted.submission_id).workflow_id();
    for (name, expected) in [("state", "\"processing\""), ("__stack_trace", "Processing")] {
        for input in INPUTS {
            let query = [&["query", "--workflow-id", &id, "--type", name], input].concat();
            let printed = temporal_cli::workflow(&query).await;
            assert!(printed.contains(expected), "{name} {input:?}: {printed}");
        }
    }

    assert_completes(stack, accepted).await;
}

/// Starts an execution for a submission, as *Start Workflow Like This One* does in the Temporal UI. Terminates any open
/// execution of the submission.
async fn start(queue: &str, submission: &AcceptedSubmission, input: &[&str]) {
    let id = SubmissionRef::new(&submission.submission_id).workflow_id();
    let start = ["start", "--type", "DiagnosisWorkflow", "--task-queue", queue];
    let id = ["--workflow-id", &id, "--id-conflict-policy", "TerminateExisting"];
    temporal_cli::workflow(&[&start[..], &id, input].concat()).await;
}

async fn detail(staff: &Staff, submission: &AcceptedSubmission) -> Value {
    let path = format!("/api/admin/submissions/{}", submission.submission_id);
    body(staff.get(&path).await).await["data"].take()
}

#[tokio::test]
async fn an_execution_with_an_unreadable_input_is_stuck_until_it_is_terminated() {
    let options = StackOptions::default()
        .scenario(&format!("stuck*{}, delay=100ms", INPUTS.len()))
        .with("DIAGNOSIS_POLL_SECONDS", "604800")
        .reconcile_soon();
    let stack = Stack::with(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let queue = stack.setting("TEMPORAL_TASK_QUEUE");
    let mut submissions = Vec::new();
    for input in INPUTS {
        let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
        stack.wait_for_status(&accepted, "processing").await;
        start(&queue, &accepted, input).await;
        submissions.push((accepted, input));
    }

    for (accepted, input) in &submissions {
        let stuck = eventually(format!("{input:?} to be recorded as stuck"), || async {
            let detail = detail(&staff, accepted).await;
            detail["stuck_since"].is_string().then_some(detail)
        })
        .await;
        assert_eq!(stuck["stuck_cause"], "workflow_worker_unhandled_failure", "{input:?}");
        temporal_cli::submission_workflow("terminate", accepted, &["--reason", "a test"]).await;
    }

    for (accepted, input) in &submissions {
        let document = stack.wait_for_status(accepted, "failed").await;
        assert_eq!(document["error"]["code"], "run_orphaned", "{input:?}");
    }
    let (retried, _) = &submissions[0];
    let path = format!("/api/admin/submissions/{}/retry", retried.submission_id);
    let response = staff.post(&path, &json!({"reason": "started by mistake"})).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));
    stack.wait_for_status(retried, "processing").await;
    stack.stop().await;
}

#[tokio::test]
async fn an_execution_started_by_an_operator_changes_nothing() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    wait_completed_once(&stack, &accepted).await;
    let input = json!({
        "submission_id": accepted.submission_id,
        "run": 1,
        "schedule": {"waits_ms": [200], "deadline_ms": 60_000, "added_later": true},
        "added_later": {},
    });

    let queue = stack.setting("TEMPORAL_TASK_QUEUE");
    start(&queue, &accepted, &["--input", &input.to_string()]).await;

    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Failed");
    let show = temporal_cli::submission_workflow("show", &accepted, &[]).await;
    assert!(show.contains("superseded"), "{show}");
    let document = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(document["status"], "completed", "{document}");
    assert_eq!((executions(&stack, &accepted).len(), mails(&stack, &accepted).len()), (1, 1));
    stack.stop().await;
}

//! Tests that no input that operators attach to a signal or a query in the Temporal UI can stop a run.

use diagflow_tests::assertions::{executions, wait_completed_once};
use diagflow_tests::temporal_cli::{self, INPUTS};
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, eventually, history};
use diagflow_workflows::SubmissionRef;
use serde_json::json;

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

//! The row on operator actions in the Temporal UI.

use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::history;
use crate::stack::StackOptions;
use crate::temporal_cli::{self, INPUTS};
use diagflow_workflows::SubmissionRef;

/// An operator sends every signal and query with every input, and resets the run once it has failed.
pub(crate) async fn unexpected_inputs() -> RowReport {
    let mut testbed =
        Testbed::start(StackOptions::default().scenario("stuck*1, delay=100ms")).await;
    let submission = testbed.submit().await;
    let ends = [ExpectedEnd::failed("loopai_failed"), ExpectedEnd::COMPLETED];
    testbed.allow_ends(&submission, &ends);
    let execution = testbed.stack.wait_for_polls(1).await;
    for name in ["execution_changed", "make_room", "no_such_signal"] {
        for input in INPUTS {
            let signal = [&["--name", name], input].concat();
            temporal_cli::submission_workflow("signal", &submission, &signal).await;
        }
    }
    let id = SubmissionRef::new(&submission.submission_id).workflow_id();
    for query in ["state", "__stack_trace"] {
        for input in INPUTS {
            let query = [&["query", "--workflow-id", &id, "--type", query], input].concat();
            temporal_cli::workflow(&query).await;
        }
    }
    let polls = testbed.stack.loopai.execution(&execution).expect("an execution").polls;
    testbed.stack.wait_for_polls(polls + 2).await;

    testbed.stack.loopai.fail(&execution, "no agent is free").expect("an execution in progress");
    testbed.stack.wait_for_status(&submission, "failed").await;
    assert_eq!(history::wait_until_closed(&testbed.stack, &submission).await, "Failed");
    let reset = ["--type", "FirstWorkflowTask", "--reason", "a test"];
    temporal_cli::submission_workflow("reset", &submission, &reset).await;
    testbed.stack.wait_for_status(&submission, "completed").await;
    testbed.report().await
}

//! Replays recorded histories with workflow code: that of today, and careless changes of it.

use crate::cases::Case;
use crate::history;
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use std::collections::BTreeMap;
use temporalio_client::WorkflowHistory;
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::workflows::WorkflowImplementation;

/// The recorded histories by name.
pub fn histories() -> BTreeMap<String, WorkflowHistory> {
    let files = std::fs::read_dir(history::recordings()).expect("recorded histories");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).expect("readable");
            let history = WorkflowHistory::from_json(&bytes);
            (name.clone(), history.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect()
}

/// The histories that do not replay with the workflow code of today, and why.
pub async fn failures() -> Vec<String> {
    let replayer = replayer::<DiagnosisWorkflow, DeliveryWorkflow>();
    let mut failures = Vec::new();
    for (name, history) in histories() {
        if let Err(error) = replayer.replay_workflow(history).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    failures
}

fn replayer<Diagnosis, Delivery>() -> WorkflowReplayer
where
    Diagnosis: WorkflowImplementation,
    <Diagnosis::Run as WorkflowDefinition>::Input: Send,
    Delivery: WorkflowImplementation,
    <Delivery::Run as WorkflowDefinition>::Input: Send,
{
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<Diagnosis>()
        .and_then(|options| options.register_workflow::<Delivery>());
    WorkflowReplayer::new(options.expect("registers").build()).expect("a replayer")
}

/// The workflow code of today, and copies of it that are changed in one place each (`build.rs`).
#[expect(dead_code, unreachable_pub, reason = "the code's own lints are seen to where it stands")]
mod copies {
    include!(concat!(env!("OUT_DIR"), "/workflow_copies.rs"));
}

/// A copy with the workflows that it has, and whether a case reaches what is changed in it.
macro_rules! copy {
    ($copy:ident, $reaches:expr) => {{
        use copies::$copy::{delivery::DeliveryWorkflow, diagnosis::DiagnosisWorkflow};
        let reaches: fn(Case) -> bool = $reaches;
        (stringify!($copy), replayer::<DiagnosisWorkflow, DeliveryWorkflow>(), reaches)
    }};
}

/// What speaks against the replay as a guard: histories that pass what a careless change has changed, and do not
/// notice; and others that do, so that it is not the change which they notice.
pub async fn wrong_verdicts_on_incompatible_changes() -> Vec<String> {
    use Case::*;
    let copies = [
        copy!(unchanged, |_| false),
        // A rest that is called off looks like the wait that comes after it.
        copy!(timer_after_request, |case| { !matches!(case, Resent | ResentRetried | Cancelled) }),
        copy!(timer_before_request_retry, |case| matches!(case, LoopAiDownAtFirst)),
        copy!(timer_after_inconclusive_poll, |case| {
            matches!(case, CompletedAfterManyPolls | TimedOut)
        }),
        copy!(failure_code_set_before_recording, |case| {
            matches!(case, TimedOut | Cancelled | CancelledAsTimerFired)
        }),
        // Over a local activity alone, such a move makes no difference to Temporal.
        copy!(end_published_after_email, |case| matches!(case, MailRetried | SupersededByRetry)),
        copy!(timer_before_email_retry, |case| {
            matches!(case, MailRetried | SupersededByRetry | ResentRetried)
        }),
    ];
    let mut wrong = Vec::new();
    for (copy, replayer, reaches) in copies {
        for (name, history) in histories() {
            let outcome = replayer.replay_workflow(history).await;
            let reaches = reaches(case_of(&name));
            let is_right = match &outcome {
                Ok(()) => !reaches,
                Err(WorkflowReplayError::Replay(failure)) => reaches && is_expected(failure, &name),
                Err(_) => false,
            };
            if !is_right {
                wrong.push(format!("{copy}, {name}: {outcome:?}"));
            }
        }
    }
    wrong
}

/// A command that differs is told as such. But a timer that is called off with its run, and had fired by then, the
/// SDK (1.1.1) takes amiss before it compares anything.
fn is_expected(failure: &WorkflowReplayFailure, name: &str) -> bool {
    match failure {
        WorkflowReplayFailure::Nondeterminism { .. } => true,
        WorkflowReplayFailure::WorkflowTaskFailure { .. } => {
            matches!(case_of(name), Case::CancelledAsTimerFired)
        }
        _ => false,
    }
}

/// The case that a recorded history is of.
fn case_of(name: &str) -> Case {
    let case = Case::ALL.into_iter().find(|case| name.split('.').next() == Some(case.name()));
    case.unwrap_or_else(|| panic!("{name} is of no case"))
}

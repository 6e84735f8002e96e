//! Replays recorded histories with today's workflow code, and with incompatible changes to it.

use crate::cases::Case;
use crate::history;
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use std::collections::BTreeMap;
use std::sync::RwLock;
use temporalio_client::WorkflowHistory;
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::workflows::WorkflowImplementation;

/// The recorded histories, by name.
pub fn histories() -> BTreeMap<String, WorkflowHistory> {
    let files = std::fs::read_dir(history::recordings()).expect("recorded histories");
    files
        .map(|file| {
            let path = file.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).expect("a readable file");
            let history = WorkflowHistory::from_json(&bytes);
            (name.clone(), history.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect()
}

/// The histories that do not replay with today's workflow code, with their errors.
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
    WorkflowReplayer::new(options.expect("registered workflows").build()).expect("a replayer")
}

/// A copy of the workflow code with incompatible changes that can be switched on (`build.rs`).
#[expect(dead_code, unreachable_pub, reason = "the original is linted in its own crate")]
mod copy {
    include!(concat!(env!("OUT_DIR"), "/workflow_copy.rs"));
}

/// The change that is switched on in the copy.
static ACTIVE_CHANGE: RwLock<Option<&'static str>> = RwLock::new(None);

/// Whether this change is switched on in the copy.
fn is_active(change: &str) -> bool {
    *ACTIVE_CHANGE.read().expect("no writer panics") == Some(change)
}

/// Replays every history with the copy, first unchanged and then with each change. Returns the histories that
/// reach a change but replay without an error, and those that do not reach it but fail.
pub async fn wrong_verdicts_on_incompatible_changes() -> Vec<String> {
    let replayer =
        replayer::<copy::diagnosis::DiagnosisWorkflow, copy::delivery::DeliveryWorkflow>();
    let mut wrong = Vec::new();
    for change in std::iter::once(None).chain(copy::CHANGES.map(Some)) {
        *ACTIVE_CHANGE.write().expect("no reader panics") = change;
        for (name, history) in histories() {
            let outcome = replayer.replay_workflow(history).await;
            let is_reached = change.is_some_and(|change| reaches(case_of(&name), change));
            let is_right = match &outcome {
                Ok(()) => !is_reached,
                Err(WorkflowReplayError::Replay(failure)) => {
                    is_reached && is_expected(failure, &name)
                }
                Err(_) => false,
            };
            if !is_right {
                wrong.push(format!("{change:?}, {name}: {outcome:?}"));
            }
        }
    }
    wrong
}

/// Whether the runs of a case execute the changed code.
fn reaches(case: Case, change: &str) -> bool {
    use Case::*;
    match change {
        // In `Cancelled`, replay cannot distinguish the added timer from that of the first wait: both are started and
        // cancelled in the same way.
        "timer_after_request" => !matches!(case, Resent | ResentRetried | Cancelled),
        "timer_before_request_retry" => matches!(case, LoopAiDownAtFirst),
        "timer_after_inconclusive_poll" => matches!(case, CompletedAfterManyPolls | TimedOut),
        "failure_code_set_before_recording" => {
            matches!(case, TimedOut | Cancelled | CancelledAsTimerFired)
        }
        // Temporal does not detect that the update of a search attribute was moved if only a local activity is between
        // its old and new positions.
        "end_published_after_email" => matches!(case, MailRetried | SupersededByRetry),
        "timer_before_email_retry" => {
            matches!(case, MailRetried | SupersededByRetry | ResentRetried)
        }
        other => panic!("{other} is not listed here"),
    }
}

/// A different command is reported as nondeterminism. However, if the workflow cancels a timer that has already fired,
/// SDK 1.1.1 fails the task before it compares any commands.
fn is_expected(failure: &WorkflowReplayFailure, name: &str) -> bool {
    match failure {
        WorkflowReplayFailure::Nondeterminism { .. } => true,
        WorkflowReplayFailure::WorkflowTaskFailure { .. } => {
            matches!(case_of(name), Case::CancelledAsTimerFired)
        }
        _ => false,
    }
}

fn case_of(name: &str) -> Case {
    let case = Case::ALL.into_iter().find(|case| name.split('.').next() == Some(case.name()));
    case.unwrap_or_else(|| panic!("{name} belongs to no case"))
}

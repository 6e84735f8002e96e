//! Replays recorded histories with the current workflow code and with incompatible changes to it.

use crate::cases::Case;
use crate::history;
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use temporalio_client::WorkflowHistory;
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::workflows::WorkflowImplementation;

/// Returns the recorded histories by name.
pub fn histories() -> BTreeMap<String, WorkflowHistory> {
    histories_in(&history::recordings())
}

/// Returns histories recorded by workflow code that includes the change `pause_with_patch`.
fn patched_histories() -> BTreeMap<String, WorkflowHistory> {
    histories_in(&history::patched_recordings())
}

fn histories_in(folder: &Path) -> BTreeMap<String, WorkflowHistory> {
    let files = std::fs::read_dir(folder).expect("recorded histories");
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

/// Returns the histories that the current workflow code cannot replay, along with the errors.
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

/// A copy of the workflow code with incompatible changes that can be enabled individually (see `build.rs`).
#[expect(dead_code, unreachable_pub, reason = "the original code is linted in its own crate")]
pub(crate) mod copy {
    include!(concat!(env!("OUT_DIR"), "/workflow_copy.rs"));
}

thread_local! {
    /// The change enabled in the copy. A worker executes all workflow code on a single thread.
    static ACTIVE_CHANGE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Enables a change for workers on this thread.
pub(crate) fn activate(change: Option<&'static str>) {
    ACTIVE_CHANGE.set(change);
}

/// Returns whether a change is enabled in the copy.
fn is_active(change: &str) -> bool {
    ACTIVE_CHANGE.get() == Some(change)
}

/// Replays every history with the copy, first unchanged and then with each change. Returns the incompatible histories
/// that replay without an error and the compatible ones that fail.
pub async fn wrong_verdicts_on_incompatible_changes() -> Vec<String> {
    let replayer =
        replayer::<copy::diagnosis::DiagnosisWorkflow, copy::delivery::DeliveryWorkflow>();
    let mut wrong = Vec::new();
    for change in std::iter::once(None).chain(copy::CHANGES.map(Some)) {
        for (name, history) in histories() {
            let must_fail = change.is_some_and(|change| reaches(case_of(&name), change));
            let outcome = replay_changed(&replayer, history, change).await;
            if !is_right(&outcome, must_fail, &name) {
                wrong.push(format!("{change:?}, {name}: {outcome:?}"));
            }
        }
        for (name, history) in patched_histories() {
            let is_compatible =
                matches!(change, Some("pause_with_patch" | "pause_with_deprecated_patch"));
            let outcome = replay_changed(&replayer, history, change).await;
            if !is_right(&outcome, !is_compatible, &name) {
                wrong.push(format!("{change:?}, patched {name}: {outcome:?}"));
            }
        }
    }
    wrong
}

async fn replay_changed(
    replayer: &WorkflowReplayer,
    history: WorkflowHistory,
    change: Option<&'static str>,
) -> Result<(), WorkflowReplayError> {
    activate(change);
    let outcome = replayer.replay_workflow(history).await;
    activate(None);
    outcome
}

fn is_right(outcome: &Result<(), WorkflowReplayError>, must_fail: bool, name: &str) -> bool {
    match outcome {
        Ok(()) => !must_fail,
        Err(WorkflowReplayError::Replay(failure)) => must_fail && is_expected(failure, name),
        Err(_) => false,
    }
}

/// Returns whether a case's runs execute the changed code.
fn reaches(case: Case, change: &str) -> bool {
    use Case::*;
    match change {
        // In `Cancelled`, replay cannot distinguish the added timer from the first wait's timer because both are
        // started and cancelled in the same way.
        "timer_after_request" => !matches!(case, Resent | ResentRetried | Cancelled),
        "timer_before_request_retry" => matches!(case, LoopAiDownAtFirst),
        "timer_after_inconclusive_poll" => matches!(case, CompletedAfterManyPolls | TimedOut),
        "failure_code_set_before_recording" => {
            matches!(case, TimedOut | Cancelled | CancelledAsTimerFired)
        }
        // Replay does not detect a search attribute update that was moved if only a local activity lies between its old
        // and new positions.
        "end_published_after_email" => matches!(case, MailRetried | SupersededByRetry),
        "timer_before_email_retry" => {
            matches!(case, MailRetried | SupersededByRetry | ResentRetried)
        }
        "pause_with_patch" => false,
        // In a cancelled run, the pause ends immediately without issuing a command.
        "pause_with_deprecated_patch" | "pause_without_patch" => {
            !matches!(case, Cancelled | CancelledAsTimerFired)
        }
        other => panic!("{other} is not listed here"),
    }
}

/// Returns whether a replay failed in the expected way. The SDK reports a differing command as nondeterminism. However,
/// if the workflow cancels a timer that has already fired, SDK 1.1.1 fails the task before comparing commands.
fn is_expected(failure: &WorkflowReplayFailure, name: &str) -> bool {
    match failure {
        WorkflowReplayFailure::Nondeterminism { .. } => true,
        WorkflowReplayFailure::WorkflowTaskFailure { .. } => {
            name.starts_with(Case::CancelledAsTimerFired.name())
        }
        _ => false,
    }
}

fn case_of(name: &str) -> Case {
    let case = Case::ALL.into_iter().find(|case| name.split('.').next() == Some(case.name()));
    case.unwrap_or_else(|| panic!("{name} belongs to no case"))
}

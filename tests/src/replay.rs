//! Replays recorded histories with workflow code: that of today, and a careless change of it.

use crate::history;
use diagflow_workflows::contract::{DeliverVerdict, DeliveryInput, DiagnosisInput, RunState};
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use std::collections::BTreeMap;
use std::time::Duration;
use temporalio_client::WorkflowHistory;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

/// The recorded histories by name.
pub fn histories() -> BTreeMap<String, WorkflowHistory> {
    let files = std::fs::read_dir(history::recorded()).expect("recorded histories");
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
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<DiagnosisWorkflow>()
        .and_then(|options| options.register_workflow::<DeliveryWorkflow>());
    let replayer = WorkflowReplayer::new(options.expect("registers").build()).expect("a replayer");
    let mut failures = Vec::new();
    for (name, history) in histories() {
        if let Err(error) = replayer.replay_workflow(history).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    failures
}

/// The histories by which a careless change of the workflow code is not noticed, and what came instead.
pub async fn careless_changes_that_pass() -> Vec<String> {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<Changed>()
        .and_then(|options| options.register_workflow::<ChangedDelivery>());
    let replayer = WorkflowReplayer::new(options.expect("registers").build()).expect("a replayer");
    let mut passes = Vec::new();
    for (name, history) in histories() {
        let outcome = replayer.replay_workflow(history).await;
        if !matches!(
            outcome,
            Err(WorkflowReplayError::Replay(WorkflowReplayFailure::Nondeterminism { .. }))
        ) {
            passes.push(format!("{name}: {outcome:?}"));
        }
    }
    passes
}

/// A careless change: under the same name, it rests before it does anything else.
#[workflow]
struct Changed {
    state: RunState,
}

#[workflow_methods]
impl Changed {
    #[init]
    fn new(_ctx: &WorkflowContextView, _input: DiagnosisInput) -> Self {
        Self { state: RunState::default() }
    }

    #[run(name = "DiagnosisWorkflow")]
    async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RunState> {
        ctx.timer(Duration::from_secs(1)).await;
        Ok(ctx.state(|workflow| workflow.state.clone()))
    }
}

/// The same of the delivery outside a run.
#[workflow]
struct ChangedDelivery;

#[workflow_methods]
impl ChangedDelivery {
    #[init]
    fn new(_ctx: &WorkflowContextView, _input: DeliveryInput) -> Self {
        Self
    }

    #[run(name = "DeliveryWorkflow")]
    async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<DeliverVerdict> {
        ctx.timer(Duration::from_secs(1)).await;
        Ok(DeliverVerdict::Sent)
    }
}

//! Performs operator actions with the `temporal` command.

use crate::client::AcceptedSubmission;
use crate::eventually::eventually;
use crate::servers;
use diagflow_workflows::SubmissionRef;
use serde_json::Value;
use uuid::Uuid;

/// Options that attach an input to a signal or query. The workflows expect only the first of these inputs.
pub const INPUTS: [&[&str]; 7] = [
    &[],
    &["--input", "{}"],
    &["--input", "\"a text\""],
    &["--input", "AP+A", "--input-base64", "--input-meta", "encoding=binary/plain"],
    &["--input", "{}", "--input-meta", "encoding=json/added-later"],
    &["--input", "{\"added_later\": true}"],
    &["--input", "1", "--input", "2"],
];

/// Runs `temporal workflow …` and returns its output.
pub async fn workflow(arguments: &[&str]) -> String {
    expect_output(temporal("workflow", arguments).await)
}

/// Runs `temporal workflow …` at a dedicated server and returns its output or its errors.
pub async fn try_workflow(address: &str, arguments: &[&str]) -> Result<String, String> {
    temporal_at(address, "workflow", arguments).await
}

/// Runs `temporal activity …` for one activity of a workflow and returns its output.
pub async fn activity(
    verb: &str,
    workflow_id: &str,
    activity_id: &str,
    options: &[&str],
) -> String {
    let names = [verb, "--workflow-id", workflow_id, "--activity-id", activity_id];
    expect_output(temporal("activity", &[&names, options].concat()).await)
}

/// Creates a namespace and returns its name.
pub async fn create_namespace() -> String {
    let name = format!("test-{}", Uuid::new_v4().simple());
    expect_output(temporal("operator", &["namespace", "create", "--namespace", &name]).await);
    // The server takes some time to apply the change.
    eventually("the namespace to be usable", || async {
        let list = ["list", "--namespace", &name];
        temporal("workflow", &list).await.ok().map(drop)
    })
    .await;
    name
}

pub async fn create_search_attribute(namespace: &str, name: &str, kind: &str) {
    let create = ["search-attribute", "create", "--namespace", namespace, "--name", name];
    expect_output(temporal("operator", &[&create[..], &["--type", kind]].concat()).await);
}

async fn temporal(group: &str, arguments: &[&str]) -> Result<String, String> {
    temporal_at(&servers::temporal(), group, arguments).await
}

async fn temporal_at(address: &str, group: &str, arguments: &[&str]) -> Result<String, String> {
    let done = tokio::process::Command::new(servers::temporal_command())
        .arg(group)
        .args(arguments)
        .args(["--address", address])
        .output()
        .await
        .expect("the command runs");
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

fn expect_output(output: Result<String, String>) -> String {
    output.unwrap_or_else(|errors| panic!("the temporal command failed: {errors}"))
}

/// Runs `temporal workflow VERB` for the latest run of a submission.
pub async fn submission_workflow(
    verb: &str,
    submission: &AcceptedSubmission,
    options: &[&str],
) -> String {
    let id = SubmissionRef::new(&submission.submission_id).workflow_id();
    let arguments: Vec<&str> =
        [verb, "--workflow-id", &id].into_iter().chain(options.iter().copied()).collect();
    workflow(&arguments).await
}

/// Waits until the submission's run has started and its history contains these event types in this order.
pub async fn wait_for_history(submission: &AcceptedSubmission, events: &[&str]) {
    eventually(events, || async {
        let id = SubmissionRef::new(&submission.submission_id).workflow_id();
        let show = ["show", "--workflow-id", &id, "--output", "json"];
        let shown = temporal("workflow", &show).await.ok()?;
        let mut rest = shown.as_str();
        for event in events {
            rest = &rest[rest.find(event)? + event.len()..];
        }
        Some(())
    })
    .await;
}

/// Returns the ids of all workflows that match a query.
pub async fn search(query: &str) -> Vec<String> {
    let printed = workflow(&["list", "--query", query, "--output", "json"]).await;
    let executions: Vec<Value> = serde_json::from_str(&printed).unwrap_or_default();
    executions
        .iter()
        .filter_map(|one| one["execution"]["workflowId"].as_str().map(str::to_owned))
        .collect()
}

//! Tests in which operators act on runs with the Temporal CLI. The database, the event stream and the ledger reflect
//! their actions.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::Role;
use diagflow_tests::assertions::{
    cancelled, executions, failed, mails, steps, wait_completed_once, wait_ended_once,
};
use diagflow_tests::responses::outcome;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, temporal_cli,
};
use diagflow_workflows::{DeliveryRef, SubmissionRef};
use futures::StreamExt;
use serde_json::{Value, json};
use temporalio_client::WorkflowDescribeOptions;

/// Poll interval in seconds, long enough that only an operator can cause a change during a test.
const A_WEEK: &str = "604800";

fn long_polls() -> StackOptions {
    StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", A_WEEK)
}

#[tokio::test]
async fn cancelling_a_run_in_temporal_cancels_the_submission() {
    let (stack, accepted) = Stack::with_submission(long_polls()).await;
    stack.wait_for_status(&accepted, "processing").await;

    temporal_cli::submission_workflow("cancel", &accepted, &[]).await;

    wait_ended_once(&stack, &accepted, cancelled()).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_run_shows_its_summary_and_current_details_in_temporal() {
    let (stack, accepted) = Stack::with_submission(long_polls()).await;
    stack.wait_for_status(&accepted, "processing").await;

    let run = history::workflow_handle(&stack, &accepted).await;
    let described = run.describe(WorkflowDescribeOptions::default()).await.expect("a response");
    assert_eq!(described.static_summary(), Some("Diagnosis, run 1"));
    // The status in the database changes shortly before the workflow's details do.
    eventually("the run to show that it is waiting", || async {
        let output =
            temporal_cli::submission_workflow("metadata", &accepted, &["--output", "json"]).await;
        let details = output.split_once("\"currentDetails\": \"");
        let (_, details) = details.unwrap_or_else(|| panic!("no current details in {output}"));
        (details.starts_with("Waiting ") && details.contains(" before ")).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_signal_from_an_operator_triggers_an_immediate_poll() {
    let (stack, accepted) = Stack::with_submission(long_polls()).await;
    stack.wait_for_status(&accepted, "processing").await;
    // The poll timer fires after a week, so only the signal can cause a poll that finds the result.
    let execution = &executions(&stack, &accepted)[0].execution_id;
    stack.loopai.complete_with(execution, json!({"summary": "dry skin"})).expect("in progress");

    temporal_cli::submission_workflow("signal", &accepted, &["--name", "execution_changed"]).await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_reset_restarts_a_failed_submission_as_a_new_run() {
    let (stack, accepted) =
        Stack::with_submission(StackOptions::default().scenario("fail*1")).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    temporal_cli::submission_workflow(
        "reset",
        &accepted,
        &["--type", "FirstWorkflowTask", "--reason", "a test"],
    )
    .await;

    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    let expected = [
        "received",
        "diagnosing",
        "failed",
        "mail_sent",
        "retried",
        "diagnosing",
        "completed",
        "result_ready",
        "mail_sent",
    ];
    assert_eq!(steps(&stack, &accepted).await, expected);
    let streamed: Vec<_> = stack.client.events(&accepted, None).await.collect().await;
    assert_eq!(streamed.last().expect("events").name, "result_ready");
    assert_eq!(mails(&stack, &accepted).len(), 2);
    let runs = stack.store.runs(id_of(&accepted)).await.expect("runs");
    assert_eq!(runs.len(), 2);
    stack.stop().await;
}

async fn completed_tasks(submission: &AcceptedSubmission) -> Vec<String> {
    let shown = temporal_cli::submission_workflow("show", submission, &["--output", "json"]).await;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let events = shown["events"].as_array().expect("events").iter();
    let tasks = events.filter(|it| it["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED");
    tasks.map(|task| task["eventId"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_reset_to_a_later_point_continues_the_known_execution() {
    // LoopAI accepts the request but refuses five polls in a row.
    let options = StackOptions::default().scenario("status=403*5, delay=0s");
    let (stack, accepted) = Stack::with_submission(options).await;
    wait_ended_once(&stack, &accepted, failed("loopai_unauthorized")).await;
    let after_the_request = &completed_tasks(&accepted).await[1];

    let point = ["--event-id", after_the_request, "--reason", "a test"];
    temporal_cli::submission_workflow("reset", &accepted, &point).await;

    let expected = eventually("all events of the new run to be stored", || async {
        let expected = steps(&stack, &accepted).await;
        expected.ends_with(&["result_ready", "mail_sent"]).then_some(expected)
    })
    .await;
    assert_eq!(executions(&stack, &accepted).len(), 1, "a second request was sent");
    let runs = stack.store.runs(id_of(&accepted)).await.expect("runs");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0].loopai_execution_id, runs[1].loopai_execution_id);
    assert_eq!(expected[..4], ["received", "diagnosing", "failed", "mail_sent"]);
    assert_eq!(expected[4..], ["retried", "diagnosing", "completed", "result_ready", "mail_sent"]);
    assert_eq!(mails(&stack, &accepted).len(), 2);
    stack.stop().await;
}

#[tokio::test]
async fn a_terminated_run_is_detected_and_can_be_retried() {
    let (stack, accepted) = Stack::with_submission(long_polls().reconcile_soon()).await;
    stack.wait_for_status(&accepted, "processing").await;

    temporal_cli::submission_workflow("terminate", &accepted, &["--reason", "a test"]).await;

    let document = stack.wait_for_status(&accepted, "failed").await;
    assert_eq!(document["error"]["code"], "run_orphaned");
    eventually("the e-mail to the patient to be sent", || async { mails(&stack, &accepted).pop() })
        .await;
    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    let staff = Staff::with_role(&stack, Role::Operator).await;
    // A retry starts immediately, even though the terminated run's next poll was a week away.
    let path = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "terminated by mistake"})).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));
    eventually("a second execution", || async {
        executions(&stack, &accepted).get(1).and_then(|it| it.finished_at)
    })
    .await;
    temporal_cli::submission_workflow("signal", &accepted, &["--name", "execution_changed"]).await;
    stack.wait_for_status(&accepted, "completed").await;
    let deliveries = eventually("the result to be sent", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.iter().all(|one| one.status.to_string() == "sent").then_some(all)
    })
    .await;
    assert_eq!(deliveries.len(), 2);
    stack.stop().await;
}

#[tokio::test]
async fn a_running_run_is_not_treated_as_orphaned() {
    let (stack, accepted) = Stack::with_submission(long_polls().reconcile_soon()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    stack.wait_for_status(&accepted, "processing").await;
    let unchanged_for_2s = "SELECT CAST(COUNT(*) AS SIGNED) FROM submissions \
                 WHERE updated_at < DATE_SUB(NOW(6), INTERVAL 2 SECOND)";
    eventually("several rounds of reconciliation", || async {
        (stack.database.number(unchanged_for_2s).await == 1).then_some(())
    })
    .await;

    let status = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(status["status"], "processing");
    let path = format!("/api/admin/submissions/{}/cancel", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "enough"})).await;
    assert_eq!(outcome(response).await, (202, "cancelling".to_owned()));
    wait_ended_once(&stack, &accepted, cancelled()).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_whose_run_was_terminated_is_still_delivered() {
    let stack = Stack::with(StackOptions::default().reconcile_soon()).await;
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
    let photo = [diagflow_tests::photos::retina()];
    let accepted = stack.client.submit("ana@example.org", "itches", &photo).await;
    let delivery = eventually("an e-mail to be deferred", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.first().filter(|one| one.attempts >= 2).cloned()
    })
    .await;

    temporal_cli::submission_workflow("terminate", &accepted, &["--reason", "a test"]).await;
    let id = DeliveryRef::new(delivery.id).workflow_id();
    eventually("a standalone delivery to start", || async {
        temporal_cli::search(&format!("WorkflowId = '{id}'")).await.pop()
    })
    .await;
    stack.mail.set_script([]).expect("a script");

    wait_until_delivered(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted).len(), 1);
    stack.stop().await;
}

async fn wait_until_delivered(stack: &Stack, submission: &AcceptedSubmission) {
    stack.wait_for_status(submission, "completed").await;
    eventually("the e-mail to be sent", || async {
        let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
        all.iter().any(|one| one.status.to_string() == "sent").then_some(())
    })
    .await;
}

/// Returns the runbook's saved filters, which are the lines of its code blocks marked `filter`.
fn saved_filters() -> Vec<&'static str> {
    let runbook = include_str!("../../../../docs/runbook.md");
    let blocks = runbook.split("```filter\n").skip(1);
    let filters = blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines);
    filters.map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn the_saved_filters_of_the_runbook_match_their_runs() {
    let options = StackOptions::default().scenario("fail").with("LOOPAI_AGENT_ID", "1");
    let (stack, accepted) = Stack::with_submission(options).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    let ours = SubmissionRef::new(&accepted.submission_id).workflow_id();

    let matching = [
        "SubmissionStatus = 'failed'",
        "FailureCode = 'loopai_failed'",
        "FailureCode IS NOT NULL AND StartTime > '2026-11-21T00:00:00Z'",
        "SubmissionStatus = 'failed' AND AgentId = 1",
    ];
    let filters = saved_filters();
    assert!(filters.len() >= 6, "{filters:?}");
    for expected in matching {
        assert!(filters.contains(&expected), "{expected}");
        eventually(expected, || async {
            temporal_cli::search(expected).await.contains(&ours).then_some(())
        })
        .await;
    }
    for filter in filters.iter().filter(|filter| !matching.contains(*filter)) {
        // The search also fails if Temporal rejects the filter.
        assert!(!temporal_cli::search(filter).await.contains(&ours), "{filter}");
    }
    stack.stop().await;
}

//! Tests of the limits on requests to LoopAI, which all workers share. Executions stay within the limits, workers send
//! few requests during a LoopAI outage, and traffic ramps up afterwards. The status shows when a run has to wait, and
//! no run is lost.

use chrono::{DateTime, TimeDelta, Utc};
use diagflow_simulators::loopai::{ExecutionRecord, RequestRecord};
use diagflow_store::{Failpoint, Role};
use diagflow_tests::assertions::{
    cancelled, executions, failed, steps, timed_out, wait_completed_once, wait_ended_once,
};
use diagflow_tests::eventually::{LIMIT, within};
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos, temporal_cli,
};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use temporalio_client::WorkflowDescribeOptions;

async fn submit(stack: &Stack, count: usize) -> Vec<AcceptedSubmission> {
    let photos = [photos::retina()];
    join_all((0..count).map(|_| stack.client.submit("ana@example.org", "", &photos))).await
}

async fn wait_until_waiting(stack: &Stack, submission: &AcceptedSubmission) {
    eventually(format!("submission {} to wait", submission.submission_id), || async {
        let document = stack.client.status(submission).await.ok()?;
        (document["step"] == "waiting").then_some(document)
    })
    .await;
}

/// Returns the maximum number of concurrent executions according to LoopAI's log.
fn max_concurrent(all: &[ExecutionRecord]) -> usize {
    let at = |moment: DateTime<Utc>| {
        let is_running =
            |it: &&ExecutionRecord| it.created_at <= moment && it.finished_at > Some(moment);
        all.iter().filter(is_running).count()
    };
    all.iter().map(|one| at(one.created_at)).max().unwrap_or_default()
}

async fn metric(address: &str, line: &str) -> f64 {
    let text = reqwest::get(format!("{address}/metrics")).await.expect("a response");
    let text = text.text().await.expect("text");
    let found = text.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{line} is not in {text}"))
}

fn posts(all: &[RequestRecord]) -> Vec<&RequestRecord> {
    all.iter().filter(|request| request.method == "POST").collect()
}

#[tokio::test]
async fn concurrent_executions_stay_within_the_limit_across_workers() {
    const AT_ONCE: usize = 3;
    let options = StackOptions::default()
        // Each diagnosis takes three seconds, so all slots are in use at once even on a busy machine.
        .scenario("delay=3s")
        .with("LOOPAI_MAX_EXECUTIONS", AT_ONCE.to_string());
    let stack = Stack::with(options).await;
    let (second, address) = stack.start_second_worker().await;
    let submissions = submit(&stack, 12).await;

    for submission in &submissions {
        wait_completed_once(&stack, submission).await;
    }

    assert_eq!(max_concurrent(&stack.loopai.executions()), AT_ONCE);
    let first = stack.setting("WORKER_LISTEN_ADDRESS");
    for worker in [first, address] {
        let worker = format!("http://{worker}");
        let call = "diagflow_loopai_requests_total{call=\"diagnose\",outcome=\"ok\"}";
        assert!(metric(&worker, call).await > 0.0, "the worker at {worker} sent no requests");
        let limit = metric(&worker, "diagflow_loopai_limit{limit=\"max_executions\"}").await;
        assert_eq!(limit, AT_ONCE as f64);
    }
    second.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn executions_per_hour_stay_within_the_limit() {
    const AN_HOUR: usize = 2;
    let options = StackOptions::default().with("LOOPAI_MAX_PER_HOUR", AN_HOUR.to_string());
    let stack = Stack::with(options).await;
    let submissions = submit(&stack, 4).await;

    let waiting = eventually("two submissions to complete and two to wait", || async {
        let (mut completed, mut waiting) = (0, Vec::new());
        for submission in &submissions {
            let document = stack.client.status(submission).await.ok()?;
            completed += usize::from(document["status"] == "completed");
            if document["step"] == "waiting" {
                waiting.push(submission.clone());
            }
        }
        (completed == AN_HOUR && waiting.len() == 4 - AN_HOUR).then_some(waiting)
    })
    .await;
    for submission in &waiting {
        temporal_cli::submission_workflow("cancel", submission, &[]).await;
        wait_ended_once(&stack, submission, cancelled()).await;
    }

    assert_eq!(stack.loopai.executions().len(), AN_HOUR);
    stack.stop().await;
}

#[tokio::test]
async fn the_breaker_limits_requests_during_an_outage_and_ramps_up_afterwards() {
    const MANY: usize = 20;
    let stack = Stack::with(StackOptions::default().scenario("diagnose=503")).await;
    let submissions = submit(&stack, MANY).await;
    for submission in &submissions {
        wait_until_waiting(&stack, submission).await;
    }
    // Without the circuit breaker, each run would send several requests in the time it takes for three probes to fail.
    eventually("LoopAI to be probed without success", || async {
        (stack.database.number("SELECT trips FROM loopai_breaker").await >= 3).then_some(())
    })
    .await;
    assert_eq!(metric(&stack.client.url(""), "diagflow_loopai_breaker_state").await, 2.0);
    let failed_requests = posts(&stack.loopai.requests()).len();
    assert!(failed_requests < MANY, "LoopAI received {failed_requests} requests during the outage");

    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    // After three failed probes, the circuit breaker stays open for up to 32 s before it gradually admits requests.
    within(3 * LIMIT, "all submissions to be completed", || async {
        let open = "SELECT COUNT(*) FROM submissions WHERE status <> 'completed'";
        (stack.database.number(open).await == 0).then_some(())
    })
    .await;

    for submission in &submissions {
        wait_completed_once(&stack, submission).await;
        let events: Vec<_> = stack.client.events(submission, None).await.collect().await;
        let events: Vec<_> =
            events.iter().filter_map(|event| event.data["step"].as_str()).collect();
        assert_eq!(events, ["received", "waiting", "diagnosing", "completed", "result_ready"]);
    }
    let all = stack.loopai.requests();
    let successful: Vec<_> = posts(&all).into_iter().filter(|it| it.status == Some(200)).collect();
    assert_eq!(successful.len(), MANY, "{successful:?}");
    // The first request is a probe. After that, the permitted rate grows by one request per second every second.
    for (number, request) in successful.iter().enumerate() {
        let least = (2.0 * number as f64 + 1.0).sqrt() - 1.0;
        let after = request.at - successful[0].at;
        let least = TimeDelta::milliseconds((1000.0 * least) as i64);
        assert!(after >= least, "request {number} came after {after}, expected at least {least}");
    }
    assert_eq!(metric(&stack.client.url(""), "diagflow_loopai_breaker_state").await, 0.0);
    stack.stop().await;
}

#[tokio::test]
async fn polls_wait_while_the_breaker_is_open() {
    let options = StackOptions::default().scenario("stuck, status=503");
    let (stack, submission) = Stack::with_submission(options).await;
    let execution = stack.wait_for_polls(1).await;
    let open_breaker = "UPDATE loopai_breaker SET open_until = NOW(6) + INTERVAL 8 SECOND";
    stack.database.execute(open_breaker).await;
    let polls =
        |stack: &Stack| stack.loopai.executions().first().map_or(0, |execution| execution.polls);
    let before = polls(&stack);

    eventually("the breaker's open interval to end", || async {
        let over = "SELECT open_until < NOW(6) FROM loopai_breaker";
        (stack.database.number(over).await == 1).then_some(())
    })
    .await;

    let while_open = polls(&stack) - before;
    // The limit of three allows for polls that were already in progress when the circuit breaker opened.
    assert!(
        while_open <= 3,
        "LoopAI received {while_open} polls while the circuit breaker was open"
    );
    stack.loopai.set_scenario("delay=0s".parse().expect("a scenario"));
    stack.loopai.complete(&execution).expect("in progress");
    wait_completed_once(&stack, &submission).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_slot_stays_reserved_after_its_worker_is_killed() {
    let options = StackOptions::default().with("LOOPAI_MAX_EXECUTIONS", "1");
    let mut stack = Stack::with(options).await;
    stack.failpoints.arm(Failpoint::AfterSlotGranted);
    let first = submit(&stack, 1).await.remove(0);
    stack.failpoints.wait_until_reached(Failpoint::AfterSlotGranted).await;
    let second = submit(&stack, 1).await.remove(0);
    wait_until_waiting(&stack, &second).await;

    stack.worker.take().expect("runs").kill();
    stack.failpoints.release(Failpoint::AfterSlotGranted);
    let now = stack.store.loopai_usage().await.expect("a response");
    assert_eq!(
        (now.running, now.waiting),
        (1, 1),
        "the run must keep its slot after its worker has been killed"
    );
    stack.start_worker().await;

    for submission in [&first, &second] {
        wait_completed_once(&stack, submission).await;
    }
    assert_eq!(max_concurrent(&stack.loopai.executions()), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_until_the_deadline_times_out_without_a_request() {
    let options = StackOptions::default().with("DIAGNOSIS_DEADLINE_SECONDS", "4");
    let stack = Stack::with(options).await;
    stack.database.execute("UPDATE loopai_breaker SET open_until = NOW(6) + INTERVAL 1 DAY").await;
    let submission = submit(&stack, 1).await.remove(0);
    wait_until_waiting(&stack, &submission).await;

    wait_ended_once(&stack, &submission, timed_out()).await;

    assert_eq!(steps(&stack, &submission).await[..3], ["received", "waiting", "timed_out"]);
    assert!(posts(&stack.loopai.requests()).is_empty());
    let now = stack.store.loopai_usage().await.expect("a response");
    assert_eq!((now.running, now.waiting), (0, 0));
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_that_dies_during_a_probe_does_not_keep_the_breaker_open() {
    let mut stack = Stack::with(StackOptions::default()).await;
    stack.database.execute("UPDATE loopai_breaker SET epoch = 1, open_until = NOW(6)").await;
    stack.failpoints.arm(Failpoint::AfterSlotGranted);
    let first = submit(&stack, 1).await.remove(0);
    stack.failpoints.wait_until_reached(Failpoint::AfterSlotGranted).await;
    let second = submit(&stack, 1).await.remove(0);
    wait_until_waiting(&stack, &second).await;

    stack.worker.take().expect("runs").kill();
    stack.failpoints.release(Failpoint::AfterSlotGranted);
    stack.start_worker().await;
    // The test moves the probe's timeout into the past so that the probe times out immediately.
    let shift = "UPDATE loopai_breaker SET probe_until = probe_until - INTERVAL 45 SECOND";
    stack.database.execute(shift).await;

    for submission in [&first, &second] {
        wait_completed_once(&stack, submission).await;
    }
    assert_eq!(metric(&stack.client.url(""), "diagflow_loopai_breaker_state").await, 0.0);
    stack.stop().await;
}

#[tokio::test]
async fn a_probe_that_cannot_read_its_images_returns_its_permit() {
    let stack = Stack::with(StackOptions::default()).await;
    let directory = stack.setting("STORAGE_URL").trim_start_matches("file://").to_owned();
    let renamed = format!("{directory}.renamed");
    stack.failpoints.arm(Failpoint::BeforeRequest);
    let unable = submit(&stack, 1).await.remove(0);
    stack.failpoints.wait_until_reached(Failpoint::BeforeRequest).await;
    stack.database.execute("UPDATE loopai_breaker SET epoch = 1, open_until = NOW(6)").await;
    std::fs::rename(&directory, &renamed).expect("renamed");

    stack.failpoints.release(Failpoint::BeforeRequest);

    let handle = history::workflow_handle(&stack, &unable).await;
    eventually("the missing images to be reported", || async {
        let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
        let pending = description.raw().pending_activities.first()?;
        let failure = pending.last_failure.as_ref()?;
        (failure.message == "file_storage_unavailable").then_some(())
    })
    .await;
    let permit_returned =
        "SELECT open_until IS NOT NULL AND probe_until IS NULL FROM loopai_breaker";
    assert_eq!(stack.database.number(permit_returned).await, 1);
    std::fs::rename(&renamed, &directory).expect("renamed back");
    wait_completed_once(&stack, &unable).await;
    stack.stop().await;
}

#[tokio::test]
async fn staff_see_waiting_runs_and_a_cancelled_run_frees_its_slot() {
    let options = StackOptions::default().scenario("stuck*1").with("LOOPAI_MAX_EXECUTIONS", "1");
    let stack = Stack::with(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let first = submit(&stack, 1).await.remove(0);
    stack.wait_for_status(&first, "processing").await;
    let second = submit(&stack, 1).await.remove(0);
    wait_until_waiting(&stack, &second).await;

    let path = format!("/api/admin/submissions/{}", second.submission_id);
    let detail: Value = staff.get(&path).await.json().await.expect("JSON");
    assert_eq!(detail["data"]["events"][1]["step"], "waiting", "{detail}");
    let shown = eventually("the history to show why the run waits", || async {
        let history: Value = staff.get(&format!("{path}/history")).await.json().await.ok()?;
        history.to_string().contains("\"loopai_no_free_slot\"").then_some(history)
    })
    .await;
    assert!(shown.to_string().contains("Request to LoopAI"), "{shown}");
    let api = stack.client.url("");
    for (name, value) in [("executions", 1.0), ("waiting", 1.0), ("breaker_state", 0.0)] {
        assert_eq!(metric(&api, &format!("diagflow_loopai_{name} ")).await, value, "{name}");
    }
    assert!(executions(&stack, &second).is_empty());

    let path = format!("/api/admin/submissions/{}/cancel", first.submission_id);
    let response = staff.post(&path, &json!({"reason": "a test"})).await;
    assert_eq!(response.status(), 202);

    wait_ended_once(&stack, &first, cancelled()).await;
    wait_completed_once(&stack, &second).await;
    assert_eq!(steps(&stack, &second).await[..3], ["received", "waiting", "diagnosing"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_that_keeps_failing_is_listed_and_ends_with_repeated_failure() {
    let stack = Stack::with(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let photos = [photos::retina()];
    let comments = "[sim: diagnose=500]";
    let failing = stack.client.submit("ana@example.org", comments, &photos).await;
    let filter = "status=pending&error_code=loopai_repeated_failure";
    let list = format!("/api/admin/submissions?{filter}");

    eventually("the submission to be listed", || async {
        let other = submit(&stack, 1).await.remove(0);
        stack.wait_for_status(&other, "completed").await;
        let page: Value = staff.get(&list).await.json().await.ok()?;
        (page["data"][0]["id"] == failing.submission_id.as_str()).then_some(())
    })
    .await;
    let metrics = stack.client.url("");
    assert_eq!(metric(&metrics, "diagflow_loopai_failing ").await, 1.0);
    let almost = "UPDATE loopai_slots SET own_failures = 9 WHERE own_failures > 0";
    stack.database.execute(almost).await;
    // The next failure counts only after another success.
    let other = submit(&stack, 1).await.remove(0);
    stack.wait_for_status(&other, "completed").await;

    wait_ended_once(&stack, &failing, failed("loopai_repeated_failure")).await;

    let submission = stack.store.submission(id_of(&failing)).await.expect("records");
    let detail = submission.expect("the submission").error_detail;
    assert_eq!(detail.as_deref(), Some("unavailable: HTTP 500"));
    assert_eq!(metric(&metrics, "diagflow_loopai_failing ").await, 0.0);
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_that_keeps_failing_until_the_deadline_ends_with_repeated_failure() {
    let options =
        StackOptions::default().scenario("diagnose=500").with("DIAGNOSIS_DEADLINE_SECONDS", "3");
    let stack = Stack::with(options).await;
    stack.failpoints.arm(Failpoint::BeforeEndRecorded);
    let failing = submit(&stack, 1).await.remove(0);
    stack.failpoints.wait_until_reached(Failpoint::BeforeEndRecorded).await;
    let reported = "UPDATE submissions SET error_code = 'loopai_repeated_failure'";
    stack.database.execute(reported).await;
    stack.failpoints.release(Failpoint::BeforeEndRecorded);

    wait_ended_once(&stack, &failing, failed("loopai_repeated_failure")).await;
    stack.stop().await;
}

//! Tests of LoopAI failures: error responses, invalid bodies, broken connections and missing responses. A temporary
//! fault must not prevent a diagnosis or cause a second execution, and no fault may cause a second e-mail.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diagflow_simulators::loopai::{LoopAiSim, RequestRecord, Settings};
use diagflow_tests::assertions::{
    executions, failed, timed_out, wait_completed_once, wait_ended_once,
};
use diagflow_tests::ports::free_port;
use diagflow_tests::stack::{LOCAL, fast_loopai, id_of};
use diagflow_tests::{Stack, StackOptions, eventually, history};
use temporalio_client::WorkflowDescribeOptions;

fn scenario(script: &str) -> StackOptions {
    StackOptions::default().scenario(script)
}

/// Returns the methods of all requests to LoopAI in order. Each is followed by the injected fault, if any, as in
/// `POST 500`.
fn request_log(stack: &Stack) -> Vec<String> {
    let requests = stack.loopai.requests().into_iter();
    requests
        .map(|request| format!("{} {}", request.method, request.fault.unwrap_or_default()))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn of_method(stack: &Stack, method: &str) -> Vec<RequestRecord> {
    stack.loopai.requests().into_iter().filter(|request| request.method == method).collect()
}

#[tokio::test]
async fn server_errors_are_retried() {
    let script = "diagnose=500*1, then diagnose=503*1, status=500*2, then status=502*1";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    let request_log = request_log(&stack);
    assert_eq!(request_log[..6], ["POST 500", "POST 503", "POST", "GET 500", "GET 500", "GET 502"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_lost_response_starts_no_second_execution() {
    let script = "diagnose=accept+reset*1, then diagnose=accept+500*1, then diagnose=accept+cut*1";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    let execution = &executions(&stack, &accepted)[0];
    assert_eq!((execution.creations, execution.repeats), (1, 3));
    // Both the `Idempotency-Key` header and the reference in the body identify the run because LoopAI may use either.
    let run = format!("{}-1", accepted.submission_id);
    assert_eq!(execution.idempotency_key.as_ref(), Some(&run));
    assert_eq!(execution.client_reference.as_ref(), Some(&run));
    for request in of_method(&stack, "POST") {
        assert_eq!(request.headers.get("idempotency-key"), Some(&run), "{request:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn conflict_locked_and_too_early_responses_are_retried() {
    let script = "diagnose=409*1, then diagnose=423*1, then diagnose=425*1, \
                  status=409*2, then status=423*2, then status=425*2";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    let request_log = request_log(&stack);
    assert_eq!(request_log[..5], ["POST 409", "POST 423", "POST 425", "POST", "GET 409"]);
    stack.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    const RETRY_AFTER: chrono::TimeDelta = chrono::TimeDelta::seconds(3);
    let script = "diagnose=429:3s*1, status=429:3s*1, then status=503:3s*1";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    for method in ["POST", "GET"] {
        let requests = of_method(&stack, method);
        for pair in requests.windows(2).filter(|pair| pair[0].fault.is_some()) {
            let waited = pair[1].at - pair[0].at;
            assert!(waited >= RETRY_AFTER, "{method} was retried after {waited}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_html_response_is_retried() {
    let (stack, accepted) =
        Stack::with_submission(scenario("diagnose=html*1, status=html*4")).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(request_log(&stack)[..3], ["POST html", "POST", "GET html"]);
    stack.stop().await;
}

#[tokio::test]
async fn truncated_json_is_retried() {
    let script =
        "diagnose=truncated*1, then diagnose=no-id*1, status=truncated*4, then status=cut*2";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(request_log(&stack)[..4], ["POST truncated", "POST no-id", "POST", "GET truncated"]);
    stack.stop().await;
}

#[tokio::test]
async fn an_execution_whose_status_is_unreadable_fails_the_submission() {
    let (stack, accepted) = Stack::with_submission(scenario("status=html")).await;

    wait_ended_once(&stack, &accepted, failed("loopai_unreadable")).await;

    assert_eq!(request_log(&stack)[1..], ["GET html"; 5]);
    stack.stop().await;
}

#[tokio::test]
async fn a_request_whose_responses_are_unreadable_fails_the_submission() {
    let (stack, accepted) = Stack::with_submission(scenario("diagnose=html")).await;

    wait_ended_once(&stack, &accepted, failed("loopai_unreadable")).await;

    assert_eq!(request_log(&stack), ["POST html"; 5]);
    stack.stop().await;
}

#[tokio::test]
async fn a_slow_poll_causes_no_warning() {
    let (stack, accepted) = Stack::with_submission(scenario("status=slow:6s*1")).await;

    wait_completed_once(&stack, &accepted).await;

    let log = stack.worker.as_ref().expect("a worker").log();
    assert!(!log.contains("TMPRL1104"), "{log}");
    stack.stop().await;
}

#[tokio::test]
async fn an_oversized_response_is_not_read_to_its_end() {
    const HUGE: u64 = 1_000_000_000;
    let (stack, accepted) = Stack::with_submission(scenario("status=huge:1000MB*3")).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(request_log(&stack)[1..4], ["GET huge:1000000KB"; 3]);
    let peak = stack.worker.as_ref().expect("a worker").peak_memory();
    assert!(peak < HUGE / 4, "the worker used {peak} bytes");
    stack.stop().await;
}

#[tokio::test]
async fn an_unknown_status_counts_as_in_progress() {
    let script = "status=unknown:queued*6, then status=unknown:on hold*1";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;

    assert!(executions(&stack, &accepted)[0].polls > 7, "{:?}", request_log(&stack));
    let log = stack.worker.as_ref().expect("a worker").log();
    let history = history::json(&stack, &accepted).await.to_string();
    for status in ["QUEUED", "OTHER"] {
        assert!(log.contains(&format!("status=\"{status}\"")), "{log}");
        let outcome = format!(r#"{{"verdict":"running","status":"{status}"}}"#);
        assert!(history.contains(&STANDARD.encode(outcome)), "{status} is not in the history");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (stack, accepted) =
        Stack::with_submission(scenario("diagnose=redirect*1, status=redirect*2")).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(request_log(&stack)[..3], ["POST redirect", "POST", "GET redirect"]);
    let strange = stack.loopai.requests().into_iter().find(|it| !it.path.starts_with("/api/"));
    assert!(strange.is_none(), "{strange:?}");
    stack.stop().await;
}

#[tokio::test]
async fn transient_poll_failures_are_harmless() {
    let script = "status=reset*2, then status=drop*2, then status=hang*1, then status=408*2";
    let options = scenario(script).with("LOOPAI_TIMEOUT_SECONDS", "1");
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_completed_once(&stack, &accepted).await;

    assert!(executions(&stack, &accepted)[0].polls > 7, "{:?}", request_log(&stack));
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_completes_after_a_loopai_outage() {
    let port = free_port();
    let options =
        StackOptions::default().with("LOOPAI_API_URL", format!("http://127.0.0.1:{port}"));
    let (mut stack, accepted) = Stack::with_submission(options).await;
    let handle = history::workflow_handle(&stack, &accepted).await;
    eventually("the retry to be visible in Temporal", || async {
        let description = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
        let pending = description.raw().pending_activities.first()?;
        let failure = pending.last_failure.as_ref()?;
        (pending.attempt >= 2 && failure.message == "loopai_unreachable").then_some(())
    })
    .await;
    let listen = std::net::SocketAddr::new(LOCAL.ip(), port);
    stack.loopai = LoopAiSim::start(listen, fast_loopai()).await.expect("LoopAI to start again");

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_slow_diagnosis_is_polled_until_it_finishes() {
    let (stack, accepted) = Stack::with_submission(scenario("stuck")).await;

    let execution = stack.wait_for_polls(10).await;
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "processing");
    stack.loopai.complete(&execution).expect("in progress");

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_stuck_execution_times_out_at_the_deadline() {
    let options = scenario("stuck").with("DIAGNOSIS_DEADLINE_SECONDS", "5");
    let (stack, accepted) = Stack::with_submission(options).await;

    let mail = wait_ended_once(&stack, &accepted, timed_out()).await;

    assert!(single_line(mail.text.as_deref()).contains("took too long"), "{mail:?}");
    assert!(single_line(mail.html.as_deref()).contains("took too long"), "{mail:?}");
    assert!(executions(&stack, &accepted)[0].polls >= 2);
    stack.stop().await;
}

#[tokio::test]
async fn an_unresponsive_loopai_times_out_at_the_deadline() {
    let options = scenario("diagnose=hang")
        .with("LOOPAI_TIMEOUT_SECONDS", "0.5")
        .with("DIAGNOSIS_DEADLINE_SECONDS", "3");
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_ended_once(&stack, &accepted, timed_out()).await;

    let requests = of_method(&stack, "POST");
    assert!(requests.len() >= 2, "{requests:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_result_that_arrives_just_before_the_deadline_is_accepted() {
    // The poll interval is longer than the deadline, so the only poll takes place at the deadline.
    let options = scenario("delay=100ms")
        .with("DIAGNOSIS_POLL_SECONDS", "600")
        .with("DIAGNOSIS_DEADLINE_SECONDS", "3");
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(executions(&stack, &accepted)[0].polls, 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_failed_execution_fails_the_submission() {
    let (stack, accepted) = Stack::with_submission(scenario("fail=Lens cap on: Straße 7")).await;

    let mail = wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    assert!(single_line(mail.text.as_deref()).contains("we could not analyse your photos"));
    assert!(single_line(mail.html.as_deref()).contains("we could not analyse your photos"));
    let submission = stack.store.submission(id_of(&accepted)).await.expect("records");
    let detail = submission.expect("the submission").error_detail;
    assert_eq!(
        detail.as_deref(),
        Some("Lens cap on: Straße 7"),
        "LoopAI's message is not stored for staff"
    );
    assert_eq!(executions(&stack, &accepted).len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn an_execution_that_loopai_has_lost_fails_the_submission() {
    let (stack, accepted) = Stack::with_submission(scenario("stuck")).await;
    stack.wait_for_polls(1).await;

    stack.loopai.reset();

    wait_ended_once(&stack, &accepted, failed("loopai_not_found")).await;
    let after: Vec<_> = stack.loopai.requests().iter().map(|it| it.status).collect();
    assert_eq!(
        after,
        [Some(404); 5],
        "there must be five polls with a 404 response and no new request"
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_temporarily_missing_execution_is_still_polled() {
    let script = "status=404*4, then status=500*1, then status=unknown*1, then status=404*4";
    let (stack, accepted) = Stack::with_submission(scenario(script)).await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_wrong_api_key_fails_the_submission() {
    let mut options = StackOptions::default().with("LOOPAI_API_KEY", "wrong");
    options.loopai = Some(Settings { api_key: Some("right".to_owned()), ..fast_loopai() });
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_ended_once(&stack, &accepted, failed("loopai_unauthorized")).await;

    let requests: Vec<_> = stack.loopai.requests().iter().map(|it| it.status).collect();
    assert_eq!(requests, [Some(401); 5]);
    stack.stop().await;
}

#[tokio::test]
async fn the_api_key_is_sent_with_every_call() {
    let mut options = StackOptions::default().with("LOOPAI_API_KEY", "right");
    options.loopai = Some(Settings { api_key: Some("right".to_owned()), ..fast_loopai() });
    let (stack, accepted) = Stack::with_submission(options).await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_rejected_by_loopai_is_not_retried() {
    let (stack, accepted) = Stack::with_submission(scenario("diagnose=422")).await;

    wait_ended_once(&stack, &accepted, failed("loopai_refused")).await;

    assert_eq!(request_log(&stack), ["POST 422"]);
    stack.stop().await;
}

#[tokio::test]
async fn completion_without_a_result_fails_the_submission() {
    let (stack, accepted) = Stack::with_submission(scenario("no-result")).await;

    wait_ended_once(&stack, &accepted, failed("loopai_no_result")).await;
    stack.stop().await;
}

/// Joins the lines of a text.
fn single_line(text: Option<&str>) -> String {
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_unusual_result_is_stored_unchanged() {
    let (stack, accepted) = Stack::with_submission(scenario("stuck")).await;
    let execution = stack.wait_for_polls(1).await;
    let result = unusual_result();

    stack.loopai.complete_with(&execution, result.clone()).expect("in progress");

    let document = wait_completed_once(&stack, &accepted).await;
    assert!(document["result"] == result, "the result was changed");
    stack.stop().await;
}

/// Returns a result with text in many scripts, characters that JSON allows but SQL may reject, 100 levels of nesting,
/// and 3 MB of text.
fn unusual_result() -> serde_json::Value {
    let nested = (0..100).fold(serde_json::json!("bottom"), |inner, level| {
        if level % 2 == 0 { serde_json::json!({ "in": inner }) } else { serde_json::json!([inner]) }
    });
    serde_json::json!({
        "summary": "Größe ≈ 3 µm — 診断 مرحبا 🩺👩🏽‍⚕️ e\u{301} \u{0} \u{feff} \"quoted\" \\ '; DROP TABLE results; --",
        "findings": [{"label": "", "confidence": 1e-300}, null, 17, [], {}, {"label": {"de": "x"}}],
        "": "an empty name",
        "数字": [i64::MIN, u64::MAX, -0.0, 0.1, 1.7976931348623157e308, true, null],
        "nested": nested,
        "big": "ß🩺".repeat(500_000),
    })
}

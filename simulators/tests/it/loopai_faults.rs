//! Tests for every LoopAI fault, as observed by a client.

use std::time::Duration;

use diagflow_simulators::loopai::{ExecutionState, LoopAiSim};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::*;

fn set_scenario(sim: &LoopAiSim, scenario: &str) {
    sim.set_scenario(scenario.parse().expect("a scenario"));
}

/// Sends a request over raw TCP to observe bytes and errors that an HTTP client would conceal.
async fn raw_exchange(sim: &LoopAiSim, request: &str) -> (Vec<u8>, std::io::Result<usize>) {
    let mut tcp = TcpStream::connect(sim.address()).await.expect("connected");
    tcp.write_all(request.as_bytes()).await.expect("written");
    let mut response = Vec::new();
    let read = tokio::time::timeout(LIMIT, tcp.read_to_end(&mut response)).await;
    (response, read.expect("an end in time"))
}

fn raw_status(id: &str) -> String {
    format!("GET /api/execution/{id}/status/ HTTP/1.1\r\nhost: sim\r\n\r\n")
}

#[tokio::test]
async fn a_directive_affects_only_its_submission() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("please [sim: fail=no light]")).await;
    let response = wait_for_end(&sim, &id).await;
    assert_eq!(response, json!({"execution_id": id, "status": "FAILED", "error": "no light"}));
    let mut other = submission("");
    other["submission_id"] = json!("s-2");
    let id = submit(&sim, &other).await;
    assert_eq!(wait_for_end(&sim, &id).await["status"], "COMPLETED");
}

#[tokio::test]
async fn an_invalid_directive_is_rejected_with_the_allowed_items() {
    let sim = instant_sim().await;
    let response = diagnose(&sim, &submission("[sim: explode]")).await.expect("a response");
    assert_eq!(response.status(), 400);
    let response: Value = response.json().await.expect("JSON");
    let error = response["error"].as_str().expect("an error");
    assert!(error.contains("explode") && error.contains("Allowed"), "{error}");
    assert!(sim.executions().is_empty());
}

#[tokio::test]
async fn outcomes_are_counted_per_execution() {
    let sim = instant_sim().await;
    let mut body = submission("[sim: fail*1, no-result*1]");
    let mut responses = Vec::new();
    for run in 1..=3 {
        body["client_reference"] = json!(format!("s-1-{run}"));
        let id = submit(&sim, &body).await;
        responses.push(wait_for_end(&sim, &id).await);
    }
    assert_eq!(responses[0]["status"], "FAILED");
    assert_eq!(responses[1]["status"], "COMPLETED");
    assert_eq!(responses[1].get("result"), None);
    assert!(responses[2]["result"].is_object());
}

#[tokio::test]
async fn a_stuck_execution_never_ends() {
    let sim = instant_sim().await;
    let stuck = submit(&sim, &submission("[sim: stuck]")).await;
    let mut other = submission("");
    other["submission_id"] = json!("s-2");
    let other = submit(&sim, &other).await;
    wait_for_end(&sim, &other).await;
    sim.wait_for(|all| all[0].measured.then_some(()), LIMIT).await.expect("measured");
    assert_eq!(poll(&sim, &stuck).await["status"], "RUNNING");
}

#[tokio::test]
async fn an_execution_takes_as_long_as_its_delay() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("[sim: delay=300ms]")).await;
    wait_for_end(&sim, &id).await;
    let execution = sim.execution(&id).expect("the execution");
    let took = execution.finished_at.expect("ended") - execution.created_at;
    assert!(took.num_milliseconds() >= 300, "{took}");
}

#[tokio::test]
async fn status_faults_are_counted_per_request_and_stop_after_their_limit() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("[sim: status=429:7s*2, then status=500*1]")).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let response = status(&sim, &id).await.expect("a response");
        let retry_after = response.headers().get("retry-after").cloned();
        let retry_after = retry_after.map(|it| it.to_str().expect("text").to_owned());
        seen.push((response.status().as_u16(), retry_after));
    }
    let wait = Some("7".to_owned());
    assert_eq!(seen, [(429, wait.clone()), (429, wait), (500, None), (200, None)]);
    assert_eq!(sim.execution(&id).expect("the execution").polls, 4);
    assert_eq!(sim.requests()[1].fault.as_deref(), Some("429:7s"));
}

#[tokio::test]
async fn a_new_default_scenario_applies_to_running_executions() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("")).await;
    assert_eq!(status(&sim, &id).await.expect("a response").status(), 200);
    set_scenario(&sim, "status=404");
    assert_eq!(status(&sim, &id).await.expect("a response").status(), 404);
    set_scenario(&sim, "");
    assert_eq!(status(&sim, &id).await.expect("a response").status(), 200);
}

#[tokio::test]
async fn a_diagnose_fault_creates_no_execution_unless_the_request_is_accepted() {
    let sim = instant_sim().await;
    let mut body = submission("");
    body["client_reference"] = json!("s-1-1");
    set_scenario(&sim, "diagnose=503:9s*1, diagnose=accept+500*1");
    let refused = diagnose(&sim, &body).await.expect("a response");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "9");
    assert!(sim.executions().is_empty());
    assert_eq!(diagnose(&sim, &body).await.expect("a response").status(), 500);
    assert_eq!(sim.executions().len(), 1);
    let id = submit(&sim, &body).await;
    let executions = sim.executions();
    assert_eq!(executions.len(), 1);
    assert_eq!((executions[0].execution_id == id, executions[0].repeats), (true, 1));
}

#[tokio::test]
async fn a_retry_with_the_same_key_recovers_a_lost_response() {
    let sim = instant_sim().await;
    let mut body = submission("[sim: diagnose=accept+drop*1]");
    body["client_reference"] = json!("s-1-1");
    diagnose(&sim, &body).await.expect_err("no response");
    let lost = sim.executions();
    assert_eq!(lost.len(), 1);
    assert_eq!(sim.requests()[0].status, None);
    assert_eq!(submit(&sim, &body).await, lost[0].execution_id);
}

#[tokio::test]
async fn reset_sends_a_tcp_reset_and_drop_closes_the_connection() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("")).await;
    set_scenario(&sim, "status=reset*1, status=drop*1");
    let (response, end) = raw_exchange(&sim, &raw_status(&id)).await;
    assert_eq!(response, b"");
    let error = end.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (response, end) = raw_exchange(&sim, &raw_status(&id)).await;
    assert_eq!(response, b"");
    assert_eq!(end.expect("a cleanly closed connection"), 0);
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_disconnects_or_the_simulator_stops() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("")).await;
    set_scenario(&sim, "status=hang");
    let url = format!("{}/api/execution/{id}/status/", sim.url());
    let impatient = client().get(&url).timeout(Duration::from_millis(200));
    assert!(impatient.send().await.expect_err("no response").is_timeout());

    let patient = tokio::spawn(client().get(&url).send());
    let hanging = |all: &[diagflow_simulators::loopai::RequestRecord]| {
        let hung = all.iter().filter(|it| it.fault.as_deref() == Some("hang"));
        (hung.count() == 2).then_some(())
    };
    sim.wait_for_request(hanging, LIMIT).await.expect("two hanging requests");
    tokio::time::timeout(LIMIT, sim.shutdown())
        .await
        .expect("a hanging request does not delay the shutdown");
    let patient = tokio::time::timeout(LIMIT, patient).await;
    let patient = patient.expect("an end in time").expect("no panic");
    patient.expect_err("no response");
}

#[tokio::test]
async fn html_truncated_unknown_and_redirect_faults_replace_the_response() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("")).await;
    wait_for_end(&sim, &id).await;
    set_scenario(
        &sim,
        "status=html*1, status=truncated*1, status=unknown*1, status=unknown:MAYBE*1, \
         status=redirect*1, diagnose=no-id, diagnose=accept+no-id",
    );
    let html = status(&sim, &id).await.expect("a response");
    assert_eq!(html.status(), 200);
    assert_eq!(html.headers()["content-type"], "text/html; charset=utf-8");
    let truncated = status(&sim, &id).await.expect("a response");
    assert_eq!(truncated.status(), 200);
    let text = truncated.text().await.expect("complete as HTTP");
    assert!(text.starts_with('{'), "{text}");
    assert!(serde_json::from_str::<Value>(&text).is_err(), "{text}");
    assert_eq!(poll(&sim, &id).await["status"], "THINKING");
    assert_eq!(poll(&sim, &id).await["status"], "MAYBE");
    let redirect = status(&sim, &id).await.expect("a response");
    assert_eq!(redirect.status(), 302);
    assert_eq!(redirect.headers()["location"], "/login");
    let login = client().get(format!("{}/login", sim.url())).send().await;
    assert_eq!(login.expect("a response").status(), 200);
    let no_id = diagnose(&sim, &submission("")).await.expect("a response");
    let no_id: Value = no_id.json().await.expect("JSON");
    assert_eq!(no_id.get("execution_id"), None);
}

#[tokio::test]
async fn a_cut_response_is_shorter_than_its_content_length() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("")).await;
    wait_for_end(&sim, &id).await;
    set_scenario(&sim, "status=cut");
    let (response, _) = raw_exchange(&sim, &raw_status(&id)).await;
    let response = String::from_utf8(response).expect("text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let promised = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    let promised: usize = promised.expect("a length").parse().expect("a number");
    assert!(!body.is_empty() && body.len() < promised, "{response}");
    let response = status(&sim, &id).await.expect("a head");
    response.text().await.expect_err("half a body");
}

#[tokio::test]
async fn a_huge_response_has_the_requested_size() {
    let sim = instant_sim().await;
    let id = submit(&sim, &submission("[sim: status=huge*1, status=huge:50MB]")).await;
    for size in [6_000_000, 50_000_000] {
        let response = status(&sim, &id).await.expect("a response");
        assert_eq!(response.content_length(), None);
        assert_eq!(response.bytes().await.expect("a body").len(), size);
    }
}

#[tokio::test]
async fn a_slow_response_is_delayed_but_correct() {
    let sim = instant_sim().await;
    set_scenario(&sim, "diagnose=slow:300ms*1, status=slow:300ms*1");
    let begin = std::time::Instant::now();
    let id = submit(&sim, &submission("")).await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(poll(&sim, &id).await["execution_id"], json!(id));
    assert!(begin.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn a_slow_diagnose_request_has_no_effect_after_the_client_disconnects() {
    let sim = instant_sim().await;
    set_scenario(&sim, "diagnose=slow:1h*1");
    let url = format!("{}/api/public/agent/1/action/diagnose/", sim.url());
    let request = client().post(url).json(&submission(""));
    let impatient = request.timeout(Duration::from_millis(200));
    assert!(impatient.send().await.expect_err("no response").is_timeout());
    let id = submit(&sim, &submission("")).await;
    let executions = sim.executions();
    assert_eq!(executions.len(), 1);
    assert_eq!(executions[0].execution_id, id);
    assert_ne!(executions[0].state, ExecutionState::Failed);
}

#[tokio::test]
async fn a_stopped_simulator_can_restart_at_the_same_address() {
    let sim = instant_sim().await;
    let address = sim.address();
    submit(&sim, &submission("")).await;
    sim.shutdown().await;
    TcpStream::connect(address).await.expect_err("the port is closed");
    let again = LoopAiSim::start(address, Default::default()).await;
    submit(&again.expect("the same address"), &submission("")).await;
}

//! Tests for the platform's contract, the measurements, the logs and the control API.

use std::sync::Arc;

use axum::{Router, routing::get};
use diagflow_simulators::loopai::{ControlError, ExecutionState, Scenario, Settings};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::*;

fn labels(result: &Value, file: &str) -> Vec<String> {
    let findings = result["findings"].as_array().expect("findings");
    let ours = findings.iter().filter(|it| it["file"] == file);
    ours.filter_map(|it| it["label"].as_str().map(ToOwned::to_owned)).collect()
}

#[tokio::test]
async fn an_execution_completes_with_measurements() {
    let sim = instant_sim().await;
    let sharp = png(&checkerboard());
    let blurred = png(&checkerboard().blur(8.0));
    let dark = png(&plain(4, 4, 10));
    let blue = png(&plain(0x20, 0x60, 0xf0));
    let body = json!({"submission_id": "s-1", "comments": "itches", "images": [
        image_entry("sharp.png", &sharp),
        image_entry("blurred.png", &blurred),
        image_entry("dark.png", &dark),
        image_entry("blue.png", &blue),
    ]});

    let id = submit(&sim, &body).await;
    let response = wait_for_end(&sim, &id).await;

    assert_eq!(response["status"], "COMPLETED");
    let result = &response["result"];
    assert_eq!(result["simulated"], true);
    assert!(labels(result, "sharp.png").contains(&"Image is sharp".to_owned()));
    assert!(labels(result, "blurred.png").contains(&"Image is blurred".to_owned()));
    assert!(labels(result, "dark.png").contains(&"Underexposed".to_owned()));
    assert!(labels(result, "blue.png").contains(&"Dominant colour #2060f0".to_owned()));
    assert!(labels(result, "blue.png").contains(&"Too plain to judge sharpness".to_owned()));
    let sharpness = |index: usize| result["measurements"][index]["sharpness"].as_f64();
    assert!(sharpness(0) > sharpness(1), "{result}");
    assert_eq!(result["measurements"][3]["width"], 64);
    assert_eq!(result["measurements"][3]["sha256_matches"], true);

    let execution = sim.execution(&id).expect("the execution");
    assert_eq!(execution.state, ExecutionState::Completed);
    let received: Vec<_> = execution.images.iter().map(|it| it.sha256.clone()).collect();
    let sent = [&sharp, &blurred, &dark, &blue].map(|it| Some(sha256(it)));
    assert_eq!(received, sent);
    assert!(!execution.contains_email);
}

#[tokio::test]
async fn the_status_is_running_until_the_delay_has_passed() {
    let sim = sim(Settings { delay_ms: 3_600_000, ..Settings::default() }).await;
    let id = submit(&sim, &submission("")).await;
    assert_eq!(poll(&sim, &id).await, json!({"execution_id": id, "status": "RUNNING"}));
    sim.complete(&id).expect("completed by hand");
    assert_eq!(wait_for_end(&sim, &id).await["status"], "COMPLETED");
    assert_eq!(sim.execution(&id).expect("the execution").polls, 2);
    assert_eq!(sim.fail(&id, "late"), Err(ControlError::AlreadyEnded));
    assert_eq!(sim.complete("nobody"), Err(ControlError::NotFound));
}

#[tokio::test]
async fn an_undecodable_image_is_reported_as_a_finding() {
    let sim = instant_sim().await;
    let mut half = image_entry("half.png", &png(&checkerboard())[..60]);
    half["sha256"] = json!("00");
    let body = json!({"images": [half, {"name": "none.png"}, {"name": "odd.png", "data": "%"}]});
    let id = submit(&sim, &body).await;
    let response = wait_for_end(&sim, &id).await;
    assert_eq!(
        labels(&response["result"], "half.png"),
        ["Image could not be read", "Checksum differs"]
    );
    assert_eq!(labels(&response["result"], "none.png"), ["Image could not be read"]);
    assert_eq!(labels(&response["result"], "odd.png"), ["Image could not be read"]);
}

#[tokio::test]
async fn images_are_downloaded_from_their_url() {
    let bytes = png(&plain(255, 0, 0));
    let expected = sha256(&bytes);
    let files = tokio::net::TcpListener::bind(any_port()).await.expect("bound");
    let address = files.local_addr().expect("an address");
    let router = Router::new().route("/red.png", get(async move || bytes));
    let server = tokio::spawn(async move { axum::serve(files, router).await });
    let sim = instant_sim().await;
    let body = json!({"images": [
        {"name": "red.png", "url": format!("http://{address}/red.png?signature=secret")},
        {"name": "gone.png", "url": format!("http://{address}/gone.png?signature=secret")},
        // Port 1 is reserved, so no server is listening on it.
        {"name": "down.png", "url": "http://127.0.0.1:1/down.png?signature=secret"},
    ]});

    let id = submit(&sim, &body).await;
    let response = wait_for_end(&sim, &id).await;

    let images = sim.execution(&id).expect("the execution").images;
    assert_eq!(images[0].sha256.as_ref(), Some(&expected));
    assert_eq!(images[0].source, "url");
    assert_eq!(labels(&response["result"], "gone.png"), ["Image could not be read"]);
    assert_eq!(labels(&response["result"], "down.png"), ["Image could not be read"]);
    assert!(!response.to_string().contains("secret"), "{response}");
    server.abort();
}

#[tokio::test]
async fn manual_completion_waits_for_the_measurements() {
    let release = Arc::new(Semaphore::new(0));
    let semaphore = release.clone();
    let bytes = png(&plain(255, 0, 0));
    let router = Router::new().route(
        "/red.png",
        get(async move || {
            semaphore.acquire().await.expect("an open semaphore").forget();
            bytes
        }),
    );
    let files = tokio::net::TcpListener::bind(any_port()).await.expect("bound");
    let url = format!("http://{}/red.png", files.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(files, router).await });
    let sim = instant_sim().await;
    let body = json!({"comments": "[sim: stuck]", "images": [{ "url": url }]});
    let id = submit(&sim, &body).await;
    sim.complete(&id).expect("completed by hand");
    assert_eq!(poll(&sim, &id).await["status"], "RUNNING");
    release.add_permits(1);
    let response = wait_for_end(&sim, &id).await;
    assert_eq!(response["status"], "COMPLETED");
    assert!(response["result"].is_object(), "{response}");
    server.abort();
}

#[tokio::test]
async fn requests_with_the_same_key_return_the_same_execution() {
    let sim = instant_sim().await;
    let url = format!("{}/api/public/agent/7/action/diagnose/", sim.url());
    let post = async |key: Option<&str>, reference: Option<&str>| -> String {
        let mut body = submission("");
        body["client_reference"] = json!(reference);
        let mut request = client().post(&url).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.expect("a response");
        let response: Value = response.json().await.expect("JSON");
        response["execution_id"].to_string()
    };

    let first = post(Some("s-1-1"), Some("s-1-1")).await;
    assert_eq!(post(Some("s-1-1"), None).await, first);
    assert_eq!(post(None, Some("s-1-1")).await, first);
    assert_ne!(post(Some("s-1-2"), Some("s-1-2")).await, first);
    let (one, other) = (post(None, None).await, post(None, None).await);
    assert_ne!(one, other);

    let executions = sim.executions();
    assert_eq!(executions.len(), 4);
    assert_eq!((executions[0].creations, executions[0].repeats), (1, 2));
    assert_eq!(executions[0].agent_id, "7");
    assert_eq!(executions[0].idempotency_key.as_deref(), Some("s-1-1"));
}

#[tokio::test]
async fn fifty_concurrent_requests_with_one_key_create_one_execution() {
    let sim = instant_sim().await;
    let mut body = submission("");
    body["client_reference"] = json!("once");
    let posts = (0..50).map(|_| submit(&sim, &body));
    let ids = futures::future::join_all(posts).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(sim.executions()[0].repeats, 49);
}

#[tokio::test]
async fn a_repeated_key_creates_a_second_execution_if_idempotency_is_disabled() {
    let sim = sim(Settings { honour_idempotency: false, ..Settings::default() }).await;
    let mut body = submission("");
    body["client_reference"] = json!("s-1-1");
    assert_ne!(submit(&sim, &body).await, submit(&sim, &body).await);
    let creations: Vec<u32> = sim.executions().iter().map(|it| it.creations).collect();
    assert_eq!(creations, [2, 2]);
}

#[tokio::test]
async fn the_api_key_is_required_when_configured() {
    let sim = sim(Settings { api_key: Some("right".to_owned()), ..Settings::default() }).await;
    assert_eq!(diagnose(&sim, &submission("")).await.expect("a response").status(), 401);
    assert_eq!(status(&sim, "x").await.expect("a response").status(), 401);
    let url = format!("{}/api/public/agent/1/action/diagnose/", sim.url());
    for (key, code) in [("wrong", 401), ("right", 200)] {
        let request = client().post(&url).bearer_auth(key).json(&submission(""));
        assert_eq!(request.send().await.expect("a response").status(), code);
    }
    let log = format!("{:?}", sim.requests());
    assert!(log.contains("(redacted)") && !log.contains("right"), "{log}");
    assert!(
        !format!("{:?}", Settings { api_key: Some("right".into()), ..Settings::default() })
            .contains("right")
    );
}

#[tokio::test]
async fn requests_that_violate_the_contract_are_rejected() {
    let sim = instant_sim().await;
    let url = format!("{}/api/public/agent/1/action/diagnose/", sim.url());
    let text = client().post(&url).body("{}").send().await.expect("a response");
    assert_eq!(text.status(), 415);
    let broken = client().post(&url).header("content-type", "application/json");
    assert_eq!(broken.body("{\"a\"").send().await.expect("a response").status(), 400);
    assert_eq!(status(&sim, "nobody").await.expect("a response").status(), 404);
    let elsewhere = client().get(format!("{}/api/other", sim.url()));
    assert_eq!(elsewhere.send().await.expect("a response").status(), 404);
    assert!(sim.executions().is_empty());
}

#[tokio::test]
async fn ten_images_of_ten_megabytes_are_accepted() {
    let sim = instant_sim().await;
    let data = "A".repeat(10 * 1024 * 1024 / 3 * 4);
    let images: Vec<Value> = (0..10).map(|_| json!({ "data": data })).collect();
    let id = submit(&sim, &json!({ "images": images })).await;
    assert_eq!(sim.execution(&id).expect("the execution").images.len(), 10);
}

#[tokio::test]
async fn an_email_address_in_the_body_is_reported_but_not_stored() {
    let sim = instant_sim().await;
    let mut body = submission("write to jo@home.example");
    body["email"] = json!("jo@home.example");
    let id = submit(&sim, &body).await;
    let execution = sim.execution(&id).expect("the execution");
    assert!(execution.contains_email);
    assert!(execution.email_paths.contains(&"$.email".to_owned()));
    assert!(execution.email_paths.contains(&"$.comments".to_owned()));
    assert!(!format!("{execution:?}").contains("home.example"));
}

#[tokio::test]
async fn the_control_api_has_the_same_effects_as_the_rust_methods() {
    let sim = instant_sim().await;
    let at = |path: &str| format!("{}{path}", sim.url());
    let put = client().put(at("/_sim/scenario")).body("stuck, status=429*1");
    assert_eq!(put.send().await.expect("a response").status(), 200);
    assert_eq!(sim.scenario(), "stuck, status=429*1".parse::<Scenario>().expect("a scenario"));
    let bad = client().put(at("/_sim/scenario")).body("explode");
    let bad = bad.send().await.expect("a response");
    assert_eq!(bad.status(), 400);
    assert!(bad.text().await.expect("text").contains("Allowed"));

    let one = submit(&sim, &submission("")).await;
    let other = submit(&sim, &submission("")).await;
    let complete = client().post(at(&format!("/_sim/executions/{one}/complete")));
    assert_eq!(complete.send().await.expect("a response").status(), 200);
    let fail = client().post(at(&format!("/_sim/executions/{other}/fail")));
    let fail = fail.json(&json!({"error": "by hand"}));
    assert_eq!(fail.send().await.expect("a response").status(), 200);
    let again = client().post(at(&format!("/_sim/executions/{other}/fail")));
    assert_eq!(again.send().await.expect("a response").status(), 409);
    assert_eq!(status(&sim, &one).await.expect("a response").status(), 429);
    assert_eq!(wait_for_end(&sim, &one).await["status"], "COMPLETED");
    assert_eq!(poll(&sim, &other).await["error"], "by hand");

    let json = async |path: &str| -> Value {
        let response = client().get(at(path)).send().await.expect("a response");
        response.json().await.expect("JSON")
    };
    let executions = json("/_sim/executions").await;
    assert_eq!(executions["totals"]["executions"], 2);
    assert_eq!(executions["executions"][1]["state"], "FAILED");
    let requests = json("/_sim/requests").await;
    assert_eq!(requests["requests"][2]["status"], 429);
    assert_eq!(requests["requests"][2]["execution_id"], json!(one));
    assert_eq!(json("/health").await["status"], "ok");

    let reset = client().post(at("/_sim/reset")).send().await.expect("a response");
    assert_eq!(reset.status(), 200);
    assert!(sim.executions().is_empty() && sim.requests().is_empty());
    assert_eq!(sim.scenario(), Scenario::default());
}

#[tokio::test]
async fn the_status_page_escapes_untrusted_text() {
    let sim = instant_sim().await;
    let mut body = submission("");
    body["submission_id"] = json!("<script>alert(1)</script>");
    submit(&sim, &body).await;
    let page = client().get(sim.url()).send().await.expect("a response");
    let page = page.text().await.expect("text");
    assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
}

#[tokio::test]
async fn the_oldest_executions_are_evicted() {
    let sim = sim(Settings { capacity: 2, ..Settings::default() }).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let mut body = submission("[sim: stuck]");
        body["submission_id"] = json!(format!("s-{number}"));
        body["client_reference"] = json!(format!("s-{number}"));
        ids.push(submit(&sim, &body).await);
    }
    assert_eq!(status(&sim, &ids[0]).await.expect("a response").status(), 404);
    assert_eq!(status(&sim, &ids[2]).await.expect("a response").status(), 200);
    assert_eq!(sim.requests().len(), 2);
}

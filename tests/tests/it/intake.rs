//! Tests of what a running API stores and rejects, and of the state it reports. The tests in `api/src/tests` cover each
//! kind of invalid input without a server.

use diagflow_store::{Sha256, Store};
use diagflow_tests::photos::Photo;
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually, photos};
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const LIMIT_BYTES: usize = 10 * 1024 * 1024;

/// Returns the relative paths of all files below a folder.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files_below(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.insert(name);
        }
    }
    found
}

fn stored_path(photo: &Photo) -> String {
    let digest = Sha256::of(&photo.bytes).to_string();
    format!("{}/{digest}", &digest[..2])
}

/// Pads a photo to `size` bytes while keeping it a valid image.
fn pad_to(mut photo: Photo, size: usize) -> Photo {
    photo.bytes.resize(size, 0);
    photo
}

#[tokio::test]
async fn identical_files_are_stored_once_under_their_digest() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (retina, cat) = (photos::retina(), photos::cat());

    let both = [retina.clone(), cat.clone()];
    stack.client.submit("ana@example.org", "", &both).await;
    stack.client.submit("ben@example.org", "", &[cat.clone(), cat.clone()]).await;

    let expected = BTreeSet::from([stored_path(&retina), stored_path(&cat)]);
    assert_eq!(files_below(&stack.files()), expected);
    for photo in both {
        let stored = std::fs::read(stack.files().join(stored_path(&photo))).expect("stored");
        assert!(stored == photo.bytes, "{} is not stored byte for byte", photo.name);
        let digest = Sha256::of(&photo.bytes);
        let rows = format!("SELECT COUNT(*) FROM files WHERE sha256 = '{digest}'");
        assert!(stack.database.number(&rows).await >= 1, "{rows}");
    }
    assert_eq!(stack.database.count_rows("files").await, 4);
    stack.stop().await;
}

#[tokio::test]
async fn a_rejected_submission_leaves_no_data() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let large = pad_to(photos::retina(), LIMIT_BYTES + 1);
    let by_json =
        ApiClient::submission_body("ana@example.org", "", &[photos::cat(), large.clone()]);

    let by_json = stack.client.post(&by_json, Some("key-1")).await.expect("a response");
    let by_form = [photos::cat(), large];
    let by_form = stack.client.submit_multipart("ana@example.org", "", &by_form, None).await;

    for response in [by_json, by_form] {
        assert_eq!(response.status(), 400);
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "invalid_submission");
        let message =
            "Image 2: Exceeds 10MB limit. Choose a smaller photo, or send a screenshot of it.";
        let fault = json!({ "field": "images[1]", "code": "image_too_large", "message": message });
        assert_eq!(body["error"]["details"], json!([fault]));
        assert_eq!(body["errors"], json!([message]));
    }
    assert_eq!(
        files_below(&stack.files()),
        BTreeSet::new(),
        "a valid image of a rejected submission was stored"
    );
    for table in ["submissions", "files", "runs", "events", "deliveries", "idempotency_keys"] {
        assert_eq!(stack.database.count_rows(table).await, 0, "{table}");
    }
    // A file of exactly the maximum size is accepted.
    let just_allowed = [pad_to(photos::retina(), LIMIT_BYTES)];
    let response = stack.client.submit_multipart("ana@example.org", "", &just_allowed, None).await;
    assert_eq!(response.status(), 202);
    stack.stop().await;
}

#[tokio::test]
async fn health_version_docs_and_metrics_endpoints_respond() {
    let stack = Stack::api_only(StackOptions::default()).await;
    stack.client.submit("ana@example.org", "", &[photos::cat()]).await;

    let read = async |path: &str| {
        let response = stack.client.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        (kind, response.text().await.expect("text"))
    };
    let json = async |path: &str| {
        let (kind, text) = read(path).await;
        assert_eq!(kind, "application/json", "{path}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    assert_eq!(json("/health").await, json!({"status": "healthy", "database": "healthy"}));
    assert_eq!(json("/health/db").await, json!({"database": "healthy"}));
    let ready = json!({
        "status": "ready",
        "database": "migrated",
        "temporal": "reachable",
        "start_problem": "no_worker",
        "paused": [],
    });
    eventually("the API to reach Temporal", || async {
        (json("/ready").await == ready).then_some(())
    })
    .await;
    assert_eq!(json("/version").await["name"], "diagflow");
    assert_eq!(json("/openapi.json").await["openapi"], "3.1.0");
    let (kind, page) = read("/docs/").await;
    assert!(kind.starts_with("text/html") && page.contains("swagger-ui"), "{kind}");
    let (kind, numbers) = read("/metrics").await;
    assert!(kind.starts_with("text/plain"), "{kind}");
    let accepted = r#"diagflow_submissions_total{outcome="accepted"} 1"#;
    assert!(numbers.lines().any(|line| line == accepted), "{numbers}");
    stack.stop().await;
}

#[tokio::test]
async fn the_api_is_not_ready_while_its_database_is_unreachable() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (database, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.set("DATABASE_POOL_TIMEOUT_SECONDS", "1");
    stack.start_api().await;

    database.cut();
    let response = stack.client.get("/ready").await;
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["status"], &body["database"]), (&json!("not_ready"), &json!("unreachable")));
    let response = stack.client.get("/health").await;
    assert_eq!(response.status(), 503);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body, json!({"status": "unhealthy", "database": "unhealthy"}));
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::cat()]);
    let refused = stack.client.post(&body, None).await.expect("a response");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");

    database.restore();
    eventually("the API to be ready again", || async {
        stack.client.get("/ready").await.status().is_success().then_some(())
    })
    .await;
    assert_eq!(stack.client.post(&body, None).await.expect("a response").status(), 202);
    stack.stop().await;
}

#[tokio::test]
async fn the_api_is_not_ready_before_the_migrations() {
    let stack = Stack::api_only(StackOptions::default()).await;
    Store::revert_all(&stack.database.url()).await.expect("reverted");

    let response = stack.client.get("/ready").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.json::<Value>().await.expect("JSON")["database"], "not_migrated");

    Store::migrate(&stack.database.url()).await.expect("migrated");
    assert_eq!(stack.client.get("/ready").await.status(), 200);
    stack.stop().await;
}

#[tokio::test]
async fn only_listed_origins_pass_cors() {
    let listed = "https://front.example.org";
    let stack = Stack::api_only(StackOptions::default().with("CORS_ORIGINS", listed)).await;
    let allowed_origin = async |origin: &str| {
        let call = reqwest::Client::new().get(stack.client.url("/version"));
        let response = call.header("origin", origin).send().await.expect("a response");
        let allowed = response.headers().get("access-control-allow-origin");
        allowed.map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(allowed_origin(listed).await.as_deref(), Some(listed));
    assert_eq!(allowed_origin("https://evil.example.org").await, None);
    assert_eq!(allowed_origin("https://front.example.org.evil.org").await, None);
    stack.stop().await;
}

#[tokio::test]
async fn responses_carry_the_request_id_of_the_caller() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let header = HeaderName::from_static("x-request-id");
    let returned_id = async |path: &str, given: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.extend(given.map(|id| (header.clone(), id.parse().expect("a value"))));
        let call = reqwest::Client::new().get(stack.client.url(path)).headers(headers);
        let response = call.send().await.expect("a response");
        response.headers()[&header].to_str().expect("text").to_owned()
    };
    assert_eq!(returned_id("/version", Some("trace-17")).await, "trace-17");
    assert_eq!(returned_id("/nothing/here", Some("trace-18")).await, "trace-18");
    let (one, other) = (returned_id("/version", None).await, returned_id("/version", None).await);
    assert_ne!(one, other);
    // The log contains the callers' request ids.
    let log = stack.api.as_ref().expect("running").log();
    assert!(log.contains("trace-17") && log.contains("trace-18"), "{log}");
    assert!(!log.contains('\u{1b}'), "the log file contains terminal escape codes: {log}");
    stack.stop().await;
}

#[tokio::test]
async fn a_truncated_image_is_rejected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    for mut photo in [photos::retina(), photos::cat(), photos::cat_webp()] {
        photo.bytes.truncate(photo.bytes.len() / 2);
        let body = ApiClient::submission_body("ana@example.org", "", &[photo]);
        let response = stack.client.post(&body, None).await.expect("a response");
        assert_eq!(response.status(), 400);
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["details"][0]["code"], "image_damaged", "{body}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_log_entry_of_a_submit_request_contains_the_submission_id() {
    let stack = Stack::api_only(StackOptions::default().with("LOG_FORMAT", "json")).await;
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    for key in [None, Some("first"), Some("first")] {
        let response = stack.client.post(&body, key).await.expect("a response");
        let request_id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
        let receipt: Value = response.json().await.expect("JSON");
        assert!(receipt["submission_id"].is_string(), "{receipt}");

        // The log entry is written just after the response is sent.
        let entry = eventually("the log entry of the request", || async {
            let log = stack.api.as_ref().expect("running").log();
            let mut entries = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            entries.find(|entry: &Value| entry["span"]["request_id"] == request_id.as_str())
        })
        .await;
        assert_eq!(entry["message"], "request completed", "{entry}");
        assert_eq!(entry["span"]["submission"], receipt["submission_id"], "{entry}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn json_logs_have_one_object_per_line() {
    let stack = Stack::api_only(StackOptions::default().with("LOG_FORMAT", "json")).await;
    let response = stack.client.get("/version").await;
    let request_id = response.headers()["x-request-id"].to_str().expect("text").to_owned();

    let log = stack.api.as_ref().expect("runs").log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = lines.iter().find(|it| it["span"]["request_id"] == request_id.as_str());
    let line = line.unwrap_or_else(|| panic!("no log line for the request: {log}"));
    assert_eq!(line["message"], "request completed", "{line}");
    assert_eq!(line["level"], "INFO", "{line}");
    stack.stop().await;
}

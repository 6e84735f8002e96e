//! The API as a process: what it keeps of a submission, what it refuses, and what it tells of itself.
//! Each kind of bad input has its own test in `api/src/tests`, which needs no server.

use diagflow_store::{Sha256, Store};
use diagflow_tests::photos::Photo;
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually, photos};
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const LIMIT_BYTES: usize = 10 * 1024 * 1024;

/// A stack in which submissions are only accepted.
async fn api_only(options: StackOptions) -> Stack {
    let mut stack = Stack::without_processes(options).await;
    stack.start_api().await;
    stack
}

/// Every file below a folder, by its path in it.
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

/// Where the bytes of a photo ought to stand.
fn place_of(photo: &Photo) -> String {
    let digest = Sha256::of(&photo.bytes).to_string();
    format!("{}/{digest}", &digest[..2])
}

/// The photo with as many bytes as `size`, still an image.
fn padded(mut photo: Photo, size: usize) -> Photo {
    photo.bytes.resize(size, 0);
    photo
}

#[tokio::test]
async fn bytes_are_stored_once_under_their_digest() {
    let stack = api_only(StackOptions::default()).await;
    let (retina, cat) = (photos::retina(), photos::cat());

    let both = [retina.clone(), cat.clone()];
    stack.client.submit("ana@example.org", "", &both).await;
    stack.client.submit("ben@example.org", "", &[cat.clone(), cat.clone()]).await;

    let expected = BTreeSet::from([place_of(&retina), place_of(&cat)]);
    assert_eq!(files_below(&stack.files()), expected);
    for photo in both {
        let stored = std::fs::read(stack.files().join(place_of(&photo))).expect("stored");
        assert!(stored == photo.bytes, "{} byte for byte", photo.name);
        let digest = Sha256::of(&photo.bytes);
        let named = format!("SELECT COUNT(*) FROM files WHERE sha256 = '{digest}'");
        assert!(stack.database.number(&named).await >= 1, "{named}");
    }
    assert_eq!(stack.database.rows("files").await, 4);
    stack.stop().await;
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let stack = api_only(StackOptions::default()).await;
    let large = padded(photos::retina(), LIMIT_BYTES + 1);
    let by_json = ApiClient::body("ana@example.org", "", &[photos::cat(), large.clone()]);

    let by_json = stack.client.post(&by_json, Some("key-1")).await.expect("an answer");
    let by_form = [photos::cat(), large];
    let by_form = stack.client.submit_multipart("ana@example.org", "", &by_form, None).await;

    for answer in [by_json, by_form] {
        assert_eq!(answer.status(), 400);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "invalid_submission");
        let fault = json!({
            "field": "images[1]",
            "code": "image_too_large",
            "message": "Image 2: Exceeds 10MB limit",
        });
        assert_eq!(body["error"]["details"], json!([fault]));
        assert_eq!(body["errors"], json!(["Image 2: Exceeds 10MB limit"]));
    }
    assert_eq!(files_below(&stack.files()), BTreeSet::new(), "not even of the good image");
    for table in ["submissions", "files", "runs", "events", "deliveries", "idempotency_keys"] {
        assert_eq!(stack.database.rows(table).await, 0, "{table}");
    }
    // The limit itself is allowed.
    let just_allowed = [padded(photos::retina(), LIMIT_BYTES)];
    let answer = stack.client.submit_multipart("ana@example.org", "", &just_allowed, None).await;
    assert_eq!(answer.status(), 202);
    stack.stop().await;
}

#[tokio::test]
async fn the_process_tells_about_itself() {
    let stack = api_only(StackOptions::default()).await;
    stack.client.submit("ana@example.org", "", &[photos::cat()]).await;

    let read = async |path: &str| {
        let answer = stack.client.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        (kind, answer.text().await.expect("text"))
    };
    let json = async |path: &str| {
        let (kind, text) = read(path).await;
        assert_eq!(kind, "application/json", "{path}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    assert_eq!(json("/health").await, json!({"status": "healthy", "database": "healthy"}));
    assert_eq!(json("/health/db").await, json!({"database": "healthy"}));
    let ready = json!({"status": "ready", "database": "migrated", "temporal": "reachable"});
    eventually("Temporal to be reached", || async {
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
async fn without_its_database_the_process_is_not_ready_until_it_is_back() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (database, url) = stack.database.by_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.set("DATABASE_WAIT_SECONDS", "1");
    stack.start_api().await;

    database.cut();
    let answer = stack.client.get("/ready").await;
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!((&body["status"], &body["database"]), (&json!("not_ready"), &json!("unreachable")));
    let answer = stack.client.get("/health").await;
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body, json!({"status": "unhealthy", "database": "unhealthy"}));
    let body = ApiClient::body("ana@example.org", "", &[photos::cat()]);
    let refused = stack.client.post(&body, None).await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");

    database.mend();
    eventually("the process to be ready again", || async {
        stack.client.get("/ready").await.status().is_success().then_some(())
    })
    .await;
    assert_eq!(stack.client.post(&body, None).await.expect("an answer").status(), 202);
    stack.stop().await;
}

#[tokio::test]
async fn before_the_migrations_the_process_is_not_ready() {
    let stack = api_only(StackOptions::default()).await;
    Store::revert_all(&stack.database.url()).await.expect("reverts");

    let answer = stack.client.get("/ready").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.json::<Value>().await.expect("JSON")["database"], "not_migrated");

    Store::migrate(&stack.database.url()).await.expect("migrates");
    assert_eq!(stack.client.get("/ready").await.status(), 200);
    stack.stop().await;
}

#[tokio::test]
async fn pages_of_the_listed_origin_may_call_and_of_no_other() {
    let listed = "https://front.example.org";
    let stack = api_only(StackOptions::default().with("CORS_ORIGINS", listed)).await;
    let allowed_origin = async |origin: &str| {
        let call = reqwest::Client::new().get(stack.client.address("/version"));
        let answer = call.header("origin", origin).send().await.expect("an answer");
        let allowed = answer.headers().get("access-control-allow-origin");
        allowed.map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(allowed_origin(listed).await.as_deref(), Some(listed));
    assert_eq!(allowed_origin("https://evil.example.org").await, None);
    assert_eq!(allowed_origin("https://front.example.org.evil.org").await, None);
    stack.stop().await;
}

#[tokio::test]
async fn every_answer_names_its_request_as_it_was_named() {
    let stack = api_only(StackOptions::default()).await;
    let header = HeaderName::from_static("x-request-id");
    let answered = async |path: &str, given: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.extend(given.map(|id| (header.clone(), id.parse().expect("a value"))));
        let call = reqwest::Client::new().get(stack.client.address(path)).headers(headers);
        let answer = call.send().await.expect("an answer");
        answer.headers()[&header].to_str().expect("text").to_owned()
    };
    assert_eq!(answered("/version", Some("trace-17")).await, "trace-17");
    assert_eq!(answered("/nothing/here", Some("trace-18")).await, "trace-18");
    let (one, other) = (answered("/version", None).await, answered("/version", None).await);
    assert_ne!(one, other);
    // The log tells of it under the same name.
    let log = stack.api.as_ref().expect("is running").log();
    assert!(log.contains("trace-17") && log.contains("trace-18"), "{log}");
    assert!(!log.contains('\u{1b}'), "a file is no terminal: {log}");
    stack.stop().await;
}

#[tokio::test]
async fn an_image_that_was_cut_off_is_refused() {
    let stack = api_only(StackOptions::default()).await;
    for mut photo in [photos::retina(), photos::cat(), photos::cat_webp()] {
        photo.bytes.truncate(photo.bytes.len() / 2);
        let body = ApiClient::body("ana@example.org", "", &[photo]);
        let answer = stack.client.post(&body, None).await.expect("an answer");
        assert_eq!(answer.status(), 400);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["details"][0]["code"], "image_not_an_image", "{body}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn logs_for_machines_are_json_line_by_line() {
    let stack = api_only(StackOptions::default().with("LOG_FORMAT", "json")).await;
    let answer = stack.client.get("/version").await;
    let request_id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();

    let log = stack.api.as_ref().expect("runs").log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answered = lines.iter().find(|line| line["span"]["request_id"] == request_id.as_str());
    let answered = answered.unwrap_or_else(|| panic!("no line of the request: {log}"));
    assert_eq!(answered["message"], "answered", "{answered}");
    assert_eq!(answered["level"], "INFO", "{answered}");
    stack.stop().await;
}

//! Tests that denied requests are audited but cannot flood the audit log.

use diagflow_store::Role;
use diagflow_tests::client::ApiClient;
use diagflow_tests::responses::{header, refusal};
use diagflow_tests::staff::create_account;
use diagflow_tests::tokens::Forgery;
use diagflow_tests::{Stack, StackOptions, Staff, loopai_callback, photos, seeding};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

fn reason_body() -> Value {
    json!({"reason": "a test"})
}

/// Returns the kind of actor, the action and the result of each entry, oldest first.
fn summaries(entries: &[Value]) -> Vec<String> {
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let summaries =
        |line| ["actor_kind", "action", "result"].map(|name| field(line, name)).join(" ");
    entries.iter().rev().map(summaries).collect()
}

#[tokio::test]
async fn requests_for_missing_objects_are_audited() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let nothing = Uuid::new_v4().to_string();
    let submission = format!("/api/admin/submissions/{nothing}");
    let user = format!("/api/v1/users/{nothing}");
    let post = |path: String, body: Value| (Method::POST, path, body);
    let get = |path: String| (Method::GET, path, Value::Null);
    let delete = |path: String| (Method::DELETE, path, Value::Null);
    let requests = [
        (post(format!("{submission}/cancel"), reason_body()), "submission_cancel"),
        (post(format!("{submission}/retry"), reason_body()), "submission_retry"),
        (post(format!("{submission}/deliveries/{nothing}/resend"), reason_body()), "mail_resend"),
        (get(submission.clone()), "submission_view"),
        (get(format!("{submission}/history")), "history_view"),
        (get(format!("{submission}/history/{nothing}/raw")), "history_view"),
        (get(format!("/api/admin/files/{nothing}")), "file_view"),
        (get(user.clone()), "users_view"),
        ((Method::PUT, user.clone(), json!({"name": "New"})), "user_update"),
        (delete(user.clone()), "user_disable"),
        (get(format!("{user}/sessions")), "sessions_view"),
        (delete(format!("{user}/sessions")), "session_end"),
        (delete(format!("{user}/sessions/{nothing}")), "session_end"),
        (get(format!("{user}/keys")), "keys_view"),
        (post(format!("{user}/keys"), json!({"name": "one"})), "key_create"),
        (delete(format!("{user}/keys/{nothing}")), "key_revoke"),
        (delete(format!("/api/v1/users/{}/keys/{nothing}", admin.id)), "key_revoke"),
        (delete(format!("/api/v1/users/{}/sessions/{nothing}", admin.id)), "session_end"),
        (delete(format!("/api/v1/auth/sessions/{nothing}")), "session_end"),
    ];
    let mut expected = Vec::new();
    for ((method, path, body), action) in requests {
        let response = admin.request(method, &path).json(&body).send().await.expect("a response");
        assert_eq!(refusal(response).await, (404, "not_found".to_owned()), "{path}");
        expected.push(format!("user {action} not_found"));
    }
    let entries = admin.audit(&format!("object_id={nothing}")).await;
    assert_eq!(summaries(&entries), expected);
    stack.stop().await;
}

#[tokio::test]
async fn unauthenticated_requests_are_audited_with_their_target() {
    let options = StackOptions::default().with("LOOPAI_CALLBACK_SECRET", loopai_callback::SECRET);
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "", None).await;
    let id = run.submission;
    let file = stack.store.files(id).await.expect("files")[0].id;
    let other = stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
    let nobody = admin.with_token(String::new());
    let other_patient = admin.with_token(other.access_token);

    let (status, events) = (format!("/api/user/status/{id}"), format!("/api/user/events/{id}"));
    assert_eq!(stack.client.get(&status).await.status(), 401);
    assert_eq!(other_patient.get(&status).await.status(), 404);
    assert_eq!(other_patient.get(&events).await.status(), 404);
    let link = format!("/api/files/{file}?expires=9999999999&signature=00");
    assert_eq!(stack.client.get(&link).await.status(), 404);
    assert_eq!(stack.client.get(&format!("/api/admin/submissions/{id}")).await.status(), 401);
    assert_eq!(nobody.get("/api/v1/users").await.status(), 401);
    let forged = loopai_callback::send(&stack.client, "{}", "another secret", Duration::ZERO).await;
    assert_eq!(forged.status(), 401);

    let entries = admin.audit(&format!("object_id={id}")).await;
    let expected = [
        "anonymous submission_view token_required",
        "anonymous submission_view not_found",
        "anonymous submission_view not_found",
        "anonymous file_view not_found",
        "anonymous access sign_in_required",
    ];
    assert_eq!(summaries(&entries), expected);
    assert_eq!(entries[4]["details"]["route"], format!("GET {status}"));
    let entries = admin.audit("object_kind=service&action=access").await;
    let expected = ["anonymous access sign_in_required", "anonymous access invalid_signature"];
    assert_eq!(summaries(&entries), expected);
    assert_eq!(entries[0]["details"]["route"], "POST /api/hooks/loopai");
    stack.stop().await;
}

/// Returns the number of audit entries that were dropped for the given reason.
async fn entries_withheld(stack: &Stack, reason: &str) -> i64 {
    let metrics = stack.client.get("/metrics").await.text().await.expect("text");
    let name = format!("diagflow_audit_entries_dropped_total{{reason=\"{reason}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// Sends a request with an invalid token from the client address `from`.
async fn request(http: &reqwest::Client, api: &ApiClient, from: &str, path: &str) -> Response {
    let call = http.get(api.url(path)).bearer_auth("x");
    call.header("x-forwarded-for", from).send().await.expect("a response")
}

#[tokio::test]
async fn a_repeatedly_denied_client_is_rate_limited_and_no_longer_audited() {
    let options = StackOptions::default()
        .with("TRUSTED_PROXIES", "1")
        .with("RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE", "6")
        .with("RATE_LIMIT_HEALTH_PER_MINUTE", "12");
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let http = reqwest::Client::new();
    let long = format!("/api/v1/users/{}", "x".repeat(20_000));

    let first = request(&http, &stack.client, "192.0.2.1", &long).await;
    let second = request(&http, &stack.client, "192.0.2.1", "/api/v1/audit").await;
    let third = request(&http, &stack.client, "192.0.2.1", "/api/v1/audit").await;

    let all = [&first, &second, &third].map(|response| response.status().as_u16());
    assert_eq!(all, [401, 401, 429]);
    assert_eq!(header(&third, "ratelimit-policy"), "\"unauthenticated\";q=2;w=20");
    assert_eq!(header(&third, "ratelimit"), "\"unauthenticated\";r=0;t=20");
    let wait: u64 = header(&third, "retry-after").parse().expect("seconds");
    assert!((8..=10).contains(&wait), "{wait}");
    assert_eq!(refusal(third).await, (429, "too_many_requests".to_owned()));
    let status = format!("/api/user/status/{}", Uuid::new_v4());
    let elsewhere = request(&http, &stack.client, "192.0.2.1", &status).await;
    assert_eq!(
        header(&elsewhere, "ratelimit"),
        "\"unauthenticated\";r=0;t=20",
        "the response does not name the limit on denied requests"
    );
    assert_eq!(
        elsewhere.status(),
        429,
        "denied requests for different routes were counted separately"
    );
    let other = request(&http, &stack.client, "192.0.2.2", "/api/v1/audit").await;
    assert_eq!(other.status(), 401, "another client was rate limited");
    let good = admin.request(Method::GET, "/api/v1/audit").header("x-forwarded-for", "192.0.2.1");
    assert_eq!(
        good.send().await.expect("a response").status(),
        200,
        "a request with a valid token was rate limited"
    );

    let entries = admin.audit("action=access").await;
    assert_eq!(summaries(&entries), ["anonymous access token_invalid"; 3]);
    let route = entries[2]["details"]["route"].as_str().expect("a route");
    assert!(route.starts_with("GET /api/v1/users/xxx") && route.len() <= 500, "{}", route.len());
    assert_eq!(entries_withheld(&stack, "client").await, 2);

    let mut health = Vec::new();
    for path in ["/health", "/health/db", "/ready", "/metrics", "/health"] {
        let call = http.get(stack.client.url(path)).header("x-forwarded-for", "192.0.2.1");
        health.push(call.send().await.expect("a response").status().as_u16());
    }
    assert_eq!(health, [200, 200, 200, 200, 429], "all health routes must share one limit");
    stack.stop().await;
}

async fn revoked_key(stack: &Stack, admin: &Staff) -> String {
    let (program, _) = create_account(stack, Role::Service).await;
    let keys = format!("/api/v1/users/{program}/keys");
    let made: Value = admin.post(&keys, &json!({"name": "one"})).await.json().await.expect("JSON");
    let id = made["key"]["id"].as_str().expect("an id");
    assert_eq!(admin.delete(&format!("{keys}/{id}")).await.status(), 204);
    made["api_key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn known_users_are_still_audited_when_their_address_is_rate_limited() {
    let options = StackOptions::default()
        .with("TRUSTED_PROXIES", "1")
        .with("RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE", "3");
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let signed_out = admin.sign_in_again(&stack).await;
    assert_eq!(signed_out.post("/api/v1/auth/logout", &json!({})).await.status(), 204);
    let key = revoked_key(&stack, &admin).await;
    let sent = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let status = format!("/api/user/status/{}", sent.submission_id);
    let http = reqwest::Client::new();
    let expired = Forgery::Expired.of(&admin.access_token);
    let send = async |call: reqwest::RequestBuilder| {
        let response =
            call.header("x-forwarded-for", "192.0.2.1").send().await.expect("a response");
        refusal(response).await
    };
    let call_with = async |token: &str, path: &str| {
        send(http.get(stack.client.url(path)).bearer_auth(token)).await
    };
    let forged = async || {
        let call = http.post(stack.client.url("/api/v1/users")).json(&json!({}));
        send(call.header("cookie", format!("diagflow_session={}", admin.access_token))).await
    };

    let junk = [call_with("x", "/api/v1/audit").await.0, call_with("x", "/api/v1/audit").await.0];
    assert_eq!(junk, [401, 429]);
    for _ in 0..2 {
        for (token, code) in [
            (&expired, "token_expired"),
            (&signed_out.access_token, "session_ended"),
            (&key, "api_key_invalid"),
        ] {
            assert_eq!(call_with(token, "/api/v1/audit").await, (401, code.to_owned()));
        }
        assert_eq!(forged().await, (403, "csrf_token_invalid".to_owned()));
        assert_eq!(call_with(&expired, &status).await, (404, "not_found".to_owned()));
    }
    assert_eq!(
        call_with("x", "/api/v1/audit").await.0,
        429,
        "an anonymous client was not rate limited"
    );

    let per_round = [
        "user access token_expired",
        "user access session_ended",
        "service access api_key_invalid",
        "user access csrf_token_invalid",
    ];
    let expected = [&["anonymous access token_invalid"][..], &per_round, &per_round].concat();
    assert_eq!(summaries(&admin.audit("action=access").await), expected);
    let views = admin.audit(&format!("object_id={}", sent.submission_id)).await;
    assert_eq!(summaries(&views), ["user submission_view not_found"; 2]);
    stack.stop().await;
}

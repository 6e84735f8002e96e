//! Tests of the rate limits.

use diagflow_store::Role;
use diagflow_tests::responses::{header, refusal};
use diagflow_tests::{ApiClient, Stack, StackOptions, Staff, photos};
use reqwest::Method;
use serde_json::{Value, json};

async fn assert_pages_have_the_health_limit(stack: &Stack, http: &reqwest::Client) {
    for page in ["/version", "/docs/", "/redoc", "/openapi.json"] {
        let response = http.get(stack.client.url(page)).send().await.expect("a response");
        assert_eq!(response.status(), 200, "{page}");
        assert!(header(&response, "ratelimit").starts_with("\"health\";r="), "{page}");
    }
}

/// Asserts that reads, sign-ins, webhook calls and health checks from one address have separate limits.
async fn assert_limits_are_counted_separately(stack: &Stack, http: &reqwest::Client, from: &str) {
    let id = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11";
    let (status, events) = (format!("/api/user/status/{id}"), format!("/api/user/events/{id}"));
    let read = async |path: &str| {
        let call = http.get(stack.client.url(path)).header("x-forwarded-for", from);
        call.send().await.expect("a response").status().as_u16()
    };
    let image = format!("/api/files/{id}");
    let all = [read(&status).await, read(&events).await, read(&image).await];
    assert_eq!(all, [401, 429, 429], "all reads of submissions must share one limit");
    let post = async |path: &str, body: Value| {
        let call = http.post(stack.client.url(path)).header("x-forwarded-for", from);
        call.json(&body).send().await.expect("a response").status().as_u16()
    };
    let sign_in = json!({"email": "nobody@example.org", "password": "nothing"});
    assert_eq!(post("/api/v1/auth/login", sign_in).await, 401);
    assert_eq!(post("/api/v1/auth/refresh", json!({"refresh_token": "x"})).await, 429);
    assert_ne!(post("/api/hooks/loopai", json!({})).await, 429);
    assert_eq!(post("/api/hooks/loopai", json!({})).await, 429);
    assert_eq!(read("/health").await, 200, "health checks must have a separate limit");
    assert_eq!(read("/health").await, 200);
}

#[tokio::test]
async fn a_rate_limited_client_gets_a_retry_after_header() {
    let options = StackOptions::default()
        .with("TRUSTED_PROXIES", "1")
        .with("RATE_LIMIT_SUBMIT_PER_MINUTE", "3")
        .with("RATE_LIMIT_SUBMIT_ATTEMPTS_PER_MINUTE", "9")
        .with("RATE_LIMIT_READ_PER_MINUTE", "3")
        .with("RATE_LIMIT_SIGN_IN_PER_MINUTE", "3")
        .with("RATE_LIMIT_WEBHOOK_PER_MINUTE", "3");
    let stack = Stack::api_only(options).await;
    let http = reqwest::Client::new();
    let valid = ApiClient::submission_body("ana@example.org", "", &[photos::cat()]);
    let submit = async |from: &str, body: &Value| {
        let call = http.post(stack.client.url("/api/user/submit"));
        call.header("x-forwarded-for", from).json(body).send().await.expect("a response")
    };
    let invalid = json!({});

    let refused = submit("192.0.2.1", &invalid).await;
    let accepted = submit("192.0.2.1", &valid).await;
    let over_quota = submit("192.0.2.1", &valid).await;
    let over_attempts = submit("192.0.2.1", &invalid).await;

    assert_eq!(
        [&refused, &accepted, &over_quota, &over_attempts].map(|it| it.status().as_u16()),
        [400, 202, 429, 429]
    );
    assert_eq!(header(&refused, "ratelimit-policy"), "\"submit\";q=1;w=20");
    assert_eq!(header(&refused, "ratelimit"), "\"submit\";r=1;t=0");
    assert_eq!(header(&accepted, "ratelimit"), "\"submit\";r=0;t=20");
    assert_eq!(header(&over_quota, "ratelimit"), "\"submit\";r=0;t=20");
    assert_eq!(header(&over_attempts, "ratelimit"), "\"submit-attempt\";r=0;t=20");
    let wait: u64 = header(&over_quota, "retry-after").parse().expect("seconds");
    assert!((15..=20).contains(&wait), "{wait}");
    let body: Value = over_quota.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "too_many_requests");
    assert_eq!(submit("192.0.2.2", &valid).await.status(), 202, "another client was rate limited");
    let six = async |last: &str| {
        submit(&format!("2001:db8:1:2::{last}"), &invalid).await.status().as_u16()
    };
    let statuses = [six("1").await, six("2").await, six("3").await, six("4").await];
    assert_eq!(
        statuses,
        [400, 400, 400, 429],
        "IPv6 addresses of one network must share one limit"
    );

    assert_pages_have_the_health_limit(&stack, &http).await;
    assert_limits_are_counted_separately(&stack, &http, "192.0.2.1").await;
    stack.stop().await;
}

#[tokio::test]
async fn an_account_has_one_limit_for_all_its_sessions() {
    let options = StackOptions::default().with("RATE_LIMIT_ACCOUNT_PER_MINUTE", "6");
    let stack = Stack::api_only(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let elsewhere = staff.sign_in_again(&stack).await;
    let other = Staff::with_role(&stack, Role::Operator).await;
    let status = async |staff: &Staff| staff.get("/api/v1/auth/validate").await.status().as_u16();

    assert_eq!([status(&staff).await, status(&staff).await], [200, 200]);
    let refused = elsewhere.get("/api/v1/auth/validate").await;

    assert_eq!(header(&refused, "ratelimit-policy"), "\"account\";q=2;w=20");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refusal(refused).await, (429, "too_many_requests".to_owned()));
    assert_eq!(status(&other).await, 200, "each account must have its own limit");
    stack.stop().await;
}

#[tokio::test]
async fn an_event_source_of_an_account_with_too_many_requests_reconnects_later() {
    let options = StackOptions::default().with("RATE_LIMIT_ACCOUNT_PER_MINUTE", "1");
    let stack = Stack::api_only(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    assert_eq!(staff.get("/api/v1/auth/validate").await.status(), 200);
    let open = async |accept: &str| {
        let call = staff.request(Method::GET, "/api/admin/events").header("Accept", accept);
        call.send().await.expect("a response")
    };

    let refused = open("*/*").await;
    assert_eq!(refusal(refused).await, (429, "too_many_requests".to_owned()));
    let event_source = open("text/event-stream").await;

    assert_eq!(event_source.status(), 200, "an `EventSource` never reconnects after a 429");
    assert_eq!(header(&event_source, "content-type"), "text/event-stream");
    assert_eq!(header(&event_source, "ratelimit-policy"), "\"account\";q=1;w=60");
    let seconds = header(&event_source, "retry-after");
    let text = event_source.text().await.expect("a stream that ends");
    assert_eq!(text, format!("retry: {seconds}000\n: too many requests\n"));
    stack.stop().await;
}

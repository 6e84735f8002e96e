//! Tests of behaviour shared by many routes: unknown paths, tokens, ids, CORS, headers, health checks and time limits.

use super::TestApi;
use axum::body::Body;
use axum::http::Request;
use diagflow_store::SubmissionId;

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn unknown_paths_and_methods_are_rejected() {
    let api = TestApi::new().await;
    let response = api.get("/nothing/here").await;
    assert_eq!(response.refusal(), (404, "not_found".to_owned()));
    let response = api.get("/api/user/submit").await;
    assert_eq!(response.refusal(), (405, "method_not_allowed".to_owned()));
    assert_eq!(response.header("allow"), "POST");
    let response = api.send(request("DELETE", "/health", &[])).await;
    assert_eq!(response.refusal(), (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn access_to_a_submission_requires_its_token() {
    let api = TestApi::new().await;
    let id = SubmissionId::new();
    let right = api.state().keys.submission_tokens.token(id);
    let wrong = api.state().keys.submission_tokens.token(SubmissionId::new());
    for (method, what) in [("GET", "status"), ("GET", "events"), ("POST", "cancel")] {
        let path = format!("/api/user/{what}/{id}");
        let with = async |name, value: String| {
            api.send(request(method, &path, &[(name, &value)])).await.refusal()
        };
        let none = api.send(request(method, &path, &[])).await;
        assert_eq!(none.refusal(), (401, "token_required".to_owned()));
        assert_eq!(none.header("www-authenticate"), "Bearer");
        let refused = (404, "not_found".to_owned());
        assert_eq!(with("authorization", format!("Bearer {wrong}")).await, refused);
        assert_eq!(with("cookie", format!("__Secure-diagflow_access={wrong}")).await, refused);
        // A token in the URL is ignored.
        let response =
            api.send(request(method, &format!("{path}?access_token={right}"), &[])).await;
        assert_eq!(response.refusal(), (401, "token_required".to_owned()));
        // `streams.rs` tests event streams that are opened with a valid token.
        if what != "events" {
            // Access is granted, so the next error comes from the database, which is unreachable.
            let opened = (503, "unavailable".to_owned());
            assert_eq!(with("authorization", format!("bearer {right}")).await, opened);
            let cookie = format!("a=b; __Secure-diagflow_access={right}");
            assert_eq!(with("cookie", cookie).await, opened);
        }
    }
}

#[tokio::test]
async fn the_access_cookie_has_a_prefix_only_with_https() {
    let (https, http) = (TestApi::new().await, by_http().await);
    let id = SubmissionId::new();
    let path = format!("/api/user/status/{id}");
    for (api, right, wrong) in [
        (&https, "__Secure-diagflow_access", "diagflow_access"),
        (&http, "diagflow_access", "__Secure-diagflow_access"),
    ] {
        let with = async |name: &str| {
            let cookie = format!("{name}={}", api.state().keys.submission_tokens.token(id));
            api.send(request("GET", &path, &[("cookie", &cookie)])).await.refusal()
        };
        // Access is granted, so the next error comes from the database, which is unreachable.
        assert_eq!(with(right).await, (503, "unavailable".to_owned()));
        assert_eq!(with(wrong).await, (401, "token_required".to_owned()));
    }
}

/// An API without HTTPS, as in development.
async fn by_http() -> TestApi {
    let public_url = "http://127.0.0.1:8080".parse().expect("an address");
    TestApi::with(|settings| settings.public_url = public_url).await
}

#[tokio::test]
async fn an_invalid_id_returns_not_found() {
    let api = TestApi::new().await;
    for id in ["1", "abc", "%00", "3F1F6B0E-6F0E-4F7B-9D53-0F1F6F3C2A11", "%ff", "..%2f"] {
        let path = format!("/api/user/status/{id}");
        let response = api.send(request("GET", &path, &[("authorization", "Bearer x")])).await;
        assert_eq!(response.refusal(), (404, "not_found".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let api = TestApi::new().await;
    let id_of = async |given: &str| {
        let response = api.send(request("GET", "/version", &[("x-request-id", given)])).await;
        response.header("x-request-id").to_owned()
    };
    assert_eq!(id_of("from-a_proxy.1").await, "from-a_proxy.1");
    for insane in ["a b", "a\"b", "", &"x".repeat(129)] {
        let made = id_of(insane).await;
        assert!(made != insane && made.len() == 36, "{insane:?} -> {made:?}");
    }
}

#[tokio::test]
async fn cors_allows_listed_origins_with_credentials() {
    let origin = "https://front.example.org";
    let api = TestApi::with(|settings| settings.cors_origins = vec![format!("{origin}/")]).await;
    let preflight = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,idempotency-key,authorization"),
        ];
        request("OPTIONS", "/api/user/submit", &headers)
    };
    let response = api.send(preflight(origin)).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), origin);
    assert_eq!(response.header("access-control-allow-credentials"), "true");
    let allowed = response.header("access-control-allow-headers");
    for name in [
        "content-type",
        "idempotency-key",
        "authorization",
        "last-event-id",
        "x-csrf-token",
        "if-match",
        "if-none-match",
    ] {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    let response = api.send(request("GET", "/version", &[("origin", origin)])).await;
    let exposed = response.header("access-control-expose-headers");
    for name in ["etag", "location", "retry-after", "x-request-id"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let unlisted = api.send(preflight("https://evil.example.org")).await;
    assert!(!unlisted.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn cors_with_a_wildcard_does_not_allow_credentials() {
    let api = TestApi::with(|settings| settings.cors_origins = vec!["*".to_owned()]).await;
    let headers = [("origin", "https://any.example.org")];
    let response = api.send(request("GET", "/version", &headers)).await;
    assert_eq!(response.header("access-control-allow-origin"), "*");
    assert!(!response.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn responses_have_security_headers() {
    let response = TestApi::new().await.get("/").await;
    assert_eq!(response.status, 200);
    assert!(response.text.contains("/docs/"));
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    assert_eq!(response.header("referrer-policy"), "no-referrer");
    assert!(response.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(response.header("strict-transport-security"), "max-age=63072000");
    let http = by_http().await.get("/").await;
    assert!(!http.headers.contains_key("strict-transport-security"));
    let refused = TestApi::new().await.get("/api/admin/submissions").await;
    assert_eq!((refused.status.as_u16(), refused.header("cache-control")), (401, "no-store"));
}

#[tokio::test]
async fn without_a_database_the_service_is_unhealthy() {
    let api = TestApi::new().await;
    let response = api.get("/health").await;
    let text = r#"{"status":"unhealthy","database":"unhealthy"}"#;
    assert_eq!((response.status.as_u16(), response.text.as_str()), (503, text));
    let response = api.get("/health/db").await;
    assert_eq!(response.text, r#"{"database":"unhealthy"}"#);
    let response = api.get("/ready").await;
    let text = r#"{"status":"not_ready","database":"unreachable","temporal":"unreachable","start_problem":"temporal_unreachable","paused":null}"#;
    assert_eq!((response.status.as_u16(), response.text.as_str()), (503, text));
}

#[tokio::test]
async fn the_version_route_reports_the_running_build() {
    let body = TestApi::new().await.get("/version").await.json();
    assert_eq!(body["name"], "diagflow");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_slow_request_times_out() {
    let api = TestApi::with(|settings| settings.request_timeout = std::time::Duration::ZERO).await;
    let response = api.get("/health").await;
    assert_eq!(response.refusal(), (503, "timeout".to_owned()));
    assert_eq!(response.header("retry-after"), "5");
    assert_eq!(response.header("connection"), "close", "the handler may still read the body");
}

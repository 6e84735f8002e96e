//! What every request meets: unknown paths, tokens, ids, CORS, headers, health, time limits.

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
async fn unknown_paths_and_methods() {
    let api = TestApi::new().await;
    let answer = api.get("/nothing/here").await;
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
    let answer = api.get("/api/user/submit").await;
    assert_eq!(answer.refusal(), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer.header("allow"), "POST");
    let answer = api.send(request("DELETE", "/health", &[])).await;
    assert_eq!(answer.refusal(), (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn reading_takes_the_right_token() {
    let api = TestApi::new().await;
    let id = SubmissionId::new();
    let right = api.state().keys.tokens.token(id);
    let wrong = api.state().keys.tokens.token(SubmissionId::new());
    for what in ["status", "events"] {
        let path = format!("/api/user/{what}/{id}");
        let with = async |name, value: String| {
            api.send(request("GET", &path, &[(name, &value)])).await.refusal()
        };
        let none = api.get(&path).await;
        assert_eq!(none.refusal(), (401, "token_required".to_owned()));
        assert_eq!(none.header("www-authenticate"), "Bearer");
        let refused = (404, "not_found".to_owned());
        assert_eq!(with("authorization", format!("Bearer {wrong}")).await, refused);
        assert_eq!(with("cookie", format!("__Secure-diagflow_access={wrong}")).await, refused);
        // Opened: then the database is asked, which nobody can reach.
        let opened = (503, "unavailable".to_owned());
        assert_eq!(with("authorization", format!("bearer {right}")).await, opened);
        assert_eq!(with("cookie", format!("a=b; __Secure-diagflow_access={right}")).await, opened);
        // No token in a URL.
        let answer = api.get(&format!("{path}?access_token={right}")).await;
        assert_eq!(answer.refusal(), (401, "token_required".to_owned()));
    }
}

#[tokio::test]
async fn a_cookie_counts_by_the_name_that_it_was_given() {
    let (https, http) = (TestApi::new().await, by_http().await);
    let id = SubmissionId::new();
    let path = format!("/api/user/status/{id}");
    for (api, right, wrong) in [
        (&https, "__Secure-diagflow_access", "diagflow_access"),
        (&http, "diagflow_access", "__Secure-diagflow_access"),
    ] {
        let with = async |name: &str| {
            let cookie = format!("{name}={}", api.state().keys.tokens.token(id));
            api.send(request("GET", &path, &[("cookie", &cookie)])).await.refusal()
        };
        // Opened: then the database is asked, which nobody can reach.
        assert_eq!(with(right).await, (503, "unavailable".to_owned()));
        assert_eq!(with(wrong).await, (401, "token_required".to_owned()));
    }
}

/// The API where nobody comes by https, as in development.
async fn by_http() -> TestApi {
    let public_url = "http://127.0.0.1:8080".parse().expect("an address");
    TestApi::with(|settings| settings.public_url = public_url).await
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    let api = TestApi::new().await;
    for id in ["1", "abc", "%00", "3F1F6B0E-6F0E-4F7B-9D53-0F1F6F3C2A11", "%ff", "..%2f"] {
        let path = format!("/api/user/status/{id}");
        let answer = api.send(request("GET", &path, &[("authorization", "Bearer x")])).await;
        assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let api = TestApi::new().await;
    let id_of = async |given: &str| {
        let answer = api.send(request("GET", "/version", &[("x-request-id", given)])).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id_of("from-a_proxy.1").await, "from-a_proxy.1");
    for insane in ["a b", "a\"b", "", &"x".repeat(129)] {
        let made = id_of(insane).await;
        assert!(made != insane && made.len() == 36, "{insane:?} -> {made:?}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_call() {
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
    let answer = api.send(preflight(origin)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let allowed = answer.header("access-control-allow-headers");
    for name in
        ["content-type", "idempotency-key", "authorization", "last-event-id", "x-csrf-token"]
    {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    let answer = api.send(request("GET", "/version", &[("origin", origin)])).await;
    let exposed = answer.header("access-control-expose-headers");
    for name in ["location", "retry-after", "x-request-id"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let stranger = api.send(preflight("https://evil.example.org")).await;
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn every_origin_may_call_but_without_cookies() {
    let api = TestApi::with(|settings| settings.cors_origins = vec!["*".to_owned()]).await;
    let headers = [("origin", "https://any.example.org")];
    let answer = api.send(request("GET", "/version", &headers)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn browsers_are_told_not_to_guess_leak_or_embed() {
    let answer = TestApi::new().await.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("/docs/"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(answer.header("strict-transport-security"), "max-age=63072000");
    let http = by_http().await.get("/").await;
    assert!(!http.headers.contains_key("strict-transport-security"));
    let refused = TestApi::new().await.get("/api/admin/submissions").await;
    assert_eq!((refused.status.as_u16(), refused.header("cache-control")), (401, "no-store"));
}

#[tokio::test]
async fn without_a_database_the_service_is_unhealthy_and_says_no_more() {
    let api = TestApi::new().await;
    let answer = api.get("/health").await;
    let text = r#"{"status":"unhealthy","database":"unhealthy"}"#;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (503, text));
    let answer = api.get("/health/db").await;
    assert_eq!(answer.text, r#"{"database":"unhealthy"}"#);
    let answer = api.get("/ready").await;
    let text = r#"{"status":"not_ready","database":"unreachable","temporal":"unreachable"}"#;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (503, text));
}

#[tokio::test]
async fn version_tells_what_runs() {
    let body = TestApi::new().await.get("/version").await.json();
    assert_eq!(body["name"], "diagflow");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let api = TestApi::with(|settings| settings.request_time = std::time::Duration::ZERO).await;
    let answer = api.get("/health").await;
    assert_eq!(answer.refusal(), (503, "timeout".to_owned()));
    assert_eq!(answer.header("retry-after"), "5");
}

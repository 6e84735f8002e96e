//! Tests of cookie sessions in browsers: cookie attributes, CSRF tokens and renewal.

use diagflow_store::Role;
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions, Staff, eventually};
use reqwest::header::SET_COOKIE;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::Duration;

const SESSIONS: &str = "/api/v1/auth/sessions";
const VALIDATE: &str = "/api/v1/auth/validate";
const REFRESH: &str = "/api/v1/auth/refresh";

/// A browser that has signed in.
struct Page {
    http: reqwest::Client,
    base: String,
    access: String,
    refresh: String,
    csrf: String,
}

/// Returns the value and the attributes of a cookie in a response.
fn cookie(response: &Response, name: &str) -> Option<Vec<String>> {
    let start = format!("{name}=");
    let texts = response.headers().get_all(SET_COOKIE).iter();
    let text =
        texts.filter_map(|value| value.to_str().ok()).find(|text| text.starts_with(&start))?;
    Some(text[start.len()..].split("; ").map(str::to_owned).collect())
}

impl Page {
    async fn signed_in(stack: &Stack) -> Page {
        let (_, email) = staff::create_account(stack, Role::Operator).await;
        let (http, base) = (reqwest::Client::new(), stack.client.url(""));
        let given = json!({"email": email, "password": PASSWORD, "cookies": true});
        let call = http.post(format!("{base}/api/v1/auth/login")).json(&given);
        let response = call.send().await.expect("a response");
        let (access, refresh) =
            (cookie(&response, "diagflow_session"), cookie(&response, "diagflow_refresh"));
        let (access, refresh) = (access.expect("a cookie"), refresh.expect("a cookie"));
        assert_eq!(access[1..], ["HttpOnly", "SameSite=Strict", "Path=/"]);
        assert_eq!(refresh[1..], ["HttpOnly", "SameSite=Strict", "Path=/api/v1/auth/refresh"]);
        let body: Value = response.json().await.expect("JSON");
        assert!(body["access_token"].is_null() && body["refresh_token"].is_null(), "{body}");
        let csrf = body["csrf_token"].as_str().expect("a token").to_owned();
        Page { http, base, access: access[0].clone(), refresh: refresh[0].clone(), csrf }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies =
            format!("diagflow_session={}; diagflow_refresh={}", self.access, self.refresh);
        self.http.request(method, format!("{}{path}", self.base)).header("cookie", cookies)
    }

    async fn send(&self, method: Method, path: &str) -> Response {
        self.request(method, path).send().await.expect("a response")
    }
}

#[tokio::test]
async fn a_cookie_session_needs_its_csrf_token_to_change_anything() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let page = Page::signed_in(&stack).await;
    let other = Page::signed_in(&stack).await;

    let read = page.send(Method::GET, VALIDATE).await;
    assert_eq!(read.status(), 200);
    assert!(cookie(&read, "diagflow_session").is_none(), "a new cookie was renewed at once");
    let validated: Value = read.json().await.expect("JSON");
    assert_eq!(validated["csrf_token"], page.csrf.as_str());

    let refused = (403, "csrf_token_invalid".to_owned());
    assert_eq!(refusal(page.send(Method::DELETE, SESSIONS).await).await, refused);
    let with = async |token: &str| {
        let call = page.request(Method::DELETE, SESSIONS).header("x-csrf-token", token);
        call.send().await.expect("a response")
    };
    assert_eq!(
        refusal(with(&other.csrf).await).await,
        refused,
        "the CSRF token of another session was accepted"
    );
    assert_eq!(with(&page.csrf).await.status(), 200);

    let call = page.request(Method::POST, "/api/v1/auth/logout");
    let logout = call.header("x-csrf-token", &page.csrf).send().await.expect("a response");
    assert_eq!(logout.status(), 204);
    for name in ["diagflow_session", "diagflow_refresh"] {
        let cleared = cookie(&logout, name).expect("an expired cookie");
        assert!(cleared[0].is_empty() && cleared.contains(&"Max-Age=0".to_owned()), "{cleared:?}");
    }
    let after_logout = page.send(Method::GET, VALIDATE).await;
    assert_eq!(refusal(after_logout).await, (401, "session_ended".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn behind_https_cookies_are_secure_and_have_prefixed_names() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.set("PUBLIC_URL", "https://diagflow.example.org");
    stack.start_api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let http = reqwest::Client::new();
    let given = json!({"email": email, "password": PASSWORD, "cookies": true});
    let call = http.post(stack.client.url("/api/v1/auth/login")).json(&given);
    let login = call.send().await.expect("a response");
    assert_eq!(login.headers()["strict-transport-security"], "max-age=63072000");

    let secure = ["HttpOnly", "SameSite=Strict", "Secure"];
    let session = cookie(&login, "__Host-diagflow_session").expect("a session");
    assert_eq!(session[1..], [&secure[..], &["Path=/"]].concat());
    let refresh = cookie(&login, "__Secure-diagflow_refresh").expect("a refresh token");
    assert_eq!(refresh[1..], [&secure[..], &["Path=/api/v1/auth/refresh"]].concat());
    let device = cookie(&login, "__Secure-diagflow_device").expect("a device");
    assert_eq!(device[1..4], secure);
    assert_eq!(login.headers().get_all(SET_COOKIE).iter().count(), 3);

    let send = async |method: Method, path: &str, cookie: String| {
        let call = http.request(method, stack.client.url(path)).header("cookie", cookie);
        call.send().await.expect("a response").status().as_u16()
    };
    let named = |prefix: &str| format!("{prefix}diagflow_session={}", session[0]);
    assert_eq!(send(Method::GET, VALIDATE, named("__Host-")).await, 200);
    assert_eq!(send(Method::GET, VALIDATE, named("")).await, 401);
    let named = |prefix: &str| format!("{prefix}diagflow_refresh={}", refresh[0]);
    assert_eq!(send(Method::POST, REFRESH, named("")).await, 401);
    assert_eq!(send(Method::POST, REFRESH, named("__Secure-")).await, 200);
    stack.stop().await;
}

#[tokio::test]
async fn a_cookie_session_is_renewed_while_in_use_and_can_be_refreshed() {
    let stack =
        Stack::api_only(StackOptions::default().with("ACCESS_TOKEN_LIFETIME_SECONDS", "3")).await;
    let page = Page::signed_in(&stack).await;
    let program = Staff::with_role(&stack, Role::Operator).await;

    let renewed = eventually("the cookie to be renewed", || async {
        let response = page.send(Method::GET, VALIDATE).await;
        assert_eq!(response.status(), 200, "the cookie expired before it was renewed");
        cookie(&response, "diagflow_session")
    })
    .await;

    assert_eq!(renewed[1..], ["HttpOnly", "SameSite=Strict", "Path=/"]);
    assert_ne!(renewed[0], page.access);
    let expired = eventually("the first token to expire", || async {
        let response = page.send(Method::GET, VALIDATE).await;
        (response.status() == 401).then_some(response)
    })
    .await;
    assert_eq!(refusal(expired).await, (401, "token_expired".to_owned()));
    let expired = eventually("a bearer token to expire without renewal", || async {
        let response = program.get(VALIDATE).await;
        assert!(cookie(&response, "diagflow_session").is_none());
        (response.status() == 401).then_some(response)
    })
    .await;
    assert_eq!(refusal(expired).await, (401, "token_expired".to_owned()));

    let response = page.send(Method::POST, REFRESH).await;
    assert_eq!(response.status(), 200);
    let access = cookie(&response, "diagflow_session").expect("a cookie")[0].clone();
    let refresh = cookie(&response, "diagflow_refresh").expect("a cookie")[0].clone();
    assert_ne!(refresh, page.refresh);
    let body: Value = response.json().await.expect("JSON");
    assert!(body["access_token"].is_null(), "{body}");
    assert_eq!(body["csrf_token"], page.csrf.as_str());
    let page = Page { access, refresh, ..page };
    assert_eq!(page.send(Method::GET, VALIDATE).await.status(), 200);
    let without_token = stack.client.url(REFRESH);
    let without_token = page.http.post(without_token).timeout(Duration::from_secs(20)).send().await;
    let without_token = refusal(without_token.expect("a response")).await;
    assert_eq!(without_token, (401, "token_required".to_owned()));
    stack.stop().await;
}

//! Tests of the sign-in route for an existing admin console that sends a user name and cannot refresh tokens.

use diagflow_store::Role;
use diagflow_tests::responses::{body, header, refusal};
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions, Staff, eventually};
use reqwest::Response;
use serde_json::{Value, json};

const SUBMISSIONS: &str = "/api/admin/submissions";
const WRONG: &str = "not the password at all";

async fn sign_in(stack: &Stack, credentials: &Value) -> Response {
    let call = reqwest::Client::new().post(stack.client.url("/api/admin/login"));
    call.json(credentials).send().await.expect("a response")
}

#[tokio::test]
async fn a_console_token_is_valid_until_its_session_ends() {
    let options = StackOptions::default().with("ACCESS_TOKEN_LIFETIME_SECONDS", "1");
    let stack = Stack::api_only(options).await;
    let program = Staff::with_role(&stack, Role::Operator).await;
    let credentials = json!({"username": program.email.to_uppercase(), "password": PASSWORD});

    let response = sign_in(&stack, &credentials).await;

    assert_eq!(header(&response, "cache-control"), "no-store");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    let [device] = cookies.as_slice() else { panic!("more than the device cookie: {cookies:?}") };
    let device = device.to_str().expect("text");
    assert!(device.starts_with("diagflow_device=") && device.contains("; Path=/api/admin/login;"));
    let session = body(response).await;
    assert_eq!((&session["success"], &session["expires_in"]), (&true.into(), &43_200.into()));
    let console = program.with_token(session["token"].as_str().expect("a token").to_owned());
    let expired = eventually("an access token to expire", || async {
        let response = program.get(SUBMISSIONS).await;
        (response.status() == 401).then_some(response)
    })
    .await;
    assert_eq!(refusal(expired).await, (401, "token_expired".to_owned()));
    let list = body(console.get(SUBMISSIONS).await).await;
    assert_eq!(list["pagination"]["total"], 0, "{list}");
    let signed_out = console.post("/api/v1/auth/logout", &json!({})).await;
    assert_eq!(signed_out.status(), 204);
    let ended = console.get(SUBMISSIONS).await;
    assert_eq!(refusal(ended).await, (401, "session_ended".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn failed_console_sign_ins_are_audited_and_throttled_with_all_others() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let wrong = json!({"username": email, "password": WRONG});

    let refused = sign_in(&stack, &wrong).await;

    assert_eq!(refused.status(), 401);
    let refused: Value = refused.json().await.expect("JSON");
    assert_eq!((&refused["success"], &refused["errors"][0]), (&false.into(), &refused["message"]));
    assert_eq!(refused["error"]["code"], "sign_in_failed");
    let throttled = eventually("the account to be throttled", || async {
        let response = sign_in(&stack, &wrong).await;
        (response.status() == 429).then_some(response)
    })
    .await;
    assert_eq!(refusal(throttled).await, (429, "too_many_attempts".to_owned()));
    // Twelve failures cause a pause that outlasts the test even on a slow machine.
    stack.database.execute("UPDATE throttles SET failures = 12 WHERE failures > 4").await;
    let right = json!({"email": email, "password": PASSWORD});
    let login = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login")).json(&right);
    let elsewhere = login.send().await.expect("a response");
    assert_eq!(refusal(elsewhere).await, (429, "too_many_attempts".to_owned()));
    let entries = stack
        .database
        .audit_rows(
            "SELECT CONCAT_WS(' ', action, result, actor_kind, actor_name) FROM audit \
             WHERE action = 'sign_in' ORDER BY number",
        )
        .await;
    assert_eq!(entries[0], format!("sign_in sign_in_failed anonymous {email}"));
    stack.stop().await;
}

#[tokio::test]
async fn a_console_sign_in_needs_json_with_both_fields() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let missing = sign_in(&stack, &json!({"email": "ana@example.org", "password": "x"})).await;
    assert_eq!(missing.status(), 400);
    let missing: Value = missing.json().await.expect("JSON");
    assert_eq!(missing["errors"], json!(["username is missing"]));
    // The route rejects HTML forms because another site could submit one without the user's consent.
    let form = reqwest::Client::new().post(stack.client.url("/api/admin/login"));
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let form = form.body("username=ana&password=x").send().await.expect("a response");
    assert_eq!(refusal(form).await, (415, "unsupported_media_type".to_owned()));
    stack.stop().await;
}

//! Tests of password changes and of JSON body validation.

use diagflow_store::{
    Action, NewPassword, NewSession, Role, SessionId, Sha256, UserChange, UserId, UtcTime,
};
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/api/v1/auth/password";
const NEW: &str = "seven purple otters juggle";

async fn sign_in(stack: &Stack, email: &str, password: &str) -> Response {
    let given = json!({"email": email, "password": password});
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login"));
    call.json(&given).send().await.expect("a response")
}

/// Returns a new session for a sign-in that verified the password set at `password_changed_at`.
fn session(user: UserId, password_changed_at: Option<UtcTime>) -> NewSession {
    NewSession {
        id: SessionId::new(),
        user,
        password_changed_at,
        refresh: Sha256::of(b"a token"),
        network: "192.0.2.0/24".to_owned(),
        address: "192.0.2.1".to_owned(),
        user_agent: String::new(),
        idle: Duration::from_secs(60),
        lifetime: Duration::from_secs(60),
    }
}

/// Returns the field and the code of each field error.
async fn faults(response: Response) -> Vec<(String, String)> {
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "invalid_input", "{body}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let details = body["error"]["details"].as_array().expect("a list").clone();
    details.iter().map(|fault| (text(&fault["field"]), text(&fault["code"]))).collect()
}

#[tokio::test]
async fn a_password_change_ends_all_other_sessions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let elsewhere = staff.sign_in_again(&stack).await;
    let other = Staff::with_role(&stack, Role::Operator).await;
    let change = async |current: &str, new: &str| {
        staff.post(PATH, &json!({"current_password": current, "new_password": new})).await
    };
    let fault = |field: &str, code: &str| vec![(field.to_owned(), code.to_owned())];

    let wrong = change("not my password at all", NEW).await;
    assert_eq!(faults(wrong).await, fault("current_password", "password_wrong"));
    let weak = change(PASSWORD, "password1234").await;
    assert_eq!(faults(weak).await, fault("new_password", "password_too_common"));
    let same = change(PASSWORD, PASSWORD).await;
    assert_eq!(faults(same).await, fault("new_password", "password_unchanged"));
    assert_eq!(
        elsewhere.get("/api/v1/auth/validate").await.status(),
        200,
        "a rejected password change ended a session"
    );

    assert_eq!(change(PASSWORD, NEW).await.status(), 204);

    assert_eq!(
        staff.get("/api/v1/auth/validate").await.status(),
        200,
        "the password change ended the current session"
    );
    let ended = refusal(elsewhere.get("/api/v1/auth/validate").await).await;
    assert_eq!(ended, (401, "session_ended".to_owned()));
    assert_eq!(
        other.get("/api/v1/auth/validate").await.status(),
        200,
        "the password change ended a session of another account"
    );
    let old = refusal(sign_in(&stack, &staff.email, PASSWORD).await).await;
    assert_eq!(old, (401, "sign_in_failed".to_owned()));
    assert_eq!(sign_in(&stack, &staff.email, NEW).await.status(), 200);
    let lines = stack
        .database
        .audit_rows(
            "SELECT CONCAT_WS(' ', result, details) FROM audit \
             WHERE action = 'password_change' ORDER BY number",
        )
        .await;
    let refused = "invalid_input {}";
    assert_eq!(lines, [refused, refused, refused, "success {\"sessions_ended\":1}"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_password_change_during_sign_in_prevents_the_session() {
    let stack = Stack::without_processes(StackOptions::default()).await;
    let (id, email) = staff::create_account(&stack, Role::Operator).await;
    let store = &stack.store;
    let seen = async || store.user_by_email(&email).await.expect("read").expect("an account");
    let create_session = async |password_changed_at| {
        let new = session(id, password_changed_at);
        store.create_session(&new, &seeding::audit_entry(Action::SignIn)).await.expect("a response")
    };
    let before = seen().await.password_changed_at;
    assert!(create_session(before).await);

    let change = UserChange { password_hash: Some("another".to_owned()), ..UserChange::default() };
    let entry = seeding::audit_entry(Action::UserUpdate);
    store.change_user(id, &change, &entry).await.expect("changed");

    assert!(!create_session(before).await, "a sign-in with the old password created a session");
    assert!(create_session(seen().await.password_changed_at).await);
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    store.change_user(id, &change, &entry).await.expect("changed");
    assert!(
        !create_session(seen().await.password_changed_at).await,
        "a disabled account got a session"
    );
    assert!(store.user_sessions(id).await.expect("read").is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn a_password_change_that_lost_a_race_changes_nothing() {
    let stack = Stack::without_processes(StackOptions::default()).await;
    let (user, email) = staff::create_account(&stack, Role::Operator).await;
    let store = &stack.store;
    let seen = async || {
        let account = store.user_by_email(&email).await.expect("read").expect("an account");
        account.password_changed_at
    };
    let signed_in = async || {
        let new = session(user, seen().await);
        assert!(
            store
                .create_session(&new, &seeding::audit_entry(Action::SignIn))
                .await
                .expect("created")
        );
        new.id
    };
    let set = async |session, known_since| {
        let new = NewPassword { user, session, known_since, hash: "chosen".to_owned() };
        store
            .set_password(&new, &seeding::audit_entry(Action::PasswordChange))
            .await
            .expect("a response")
    };
    let stored_hash = "SELECT password_hash FROM users";
    let (ended, before) = (signed_in().await, seen().await);

    let change = UserChange { password_hash: Some("reset".to_owned()), ..UserChange::default() };
    store
        .change_user(user, &change, &seeding::audit_entry(Action::UserUpdate))
        .await
        .expect("changed");

    let session = signed_in().await;
    assert!(
        !set(session, before).await,
        "a change that had verified only the old password was applied"
    );
    assert!(!set(ended, seen().await).await, "a change from an ended session was applied");
    assert_eq!(stack.database.texts(stored_hash).await, ["reset"]);
    assert!(set(session, seen().await).await);
    assert_eq!(stack.database.texts(stored_hash).await, ["chosen"]);
    stack.stop().await;
}

#[tokio::test]
async fn guessing_the_current_password_is_throttled() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    // The new password is invalid as well. It must not be checked before the throttle because password checks are
    // expensive.
    let guess =
        json!({"current_password": "not my password at all", "new_password": "password1234"});

    let mut tries = 0;
    let blocked = loop {
        let response = staff.post(PATH, &guess).await;
        if response.status() != 400 {
            break response;
        }
        tries += 1;
        assert!(tries < 30, "30 guesses were not throttled");
    };
    // Every client has five attempts, and a known address has five more. The first pauses are short enough that a slow
    // machine may allow a few more attempts.
    assert!((10..=16).contains(&tries), "{tries}");
    assert!(blocked.headers().contains_key("retry-after"));
    assert_eq!(refusal(blocked).await, (429, "too_many_attempts".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn an_unreadable_body_is_rejected_with_the_error_envelope() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let send = async |media_type: &str, body: String| {
        let call = staff.request(Method::POST, PATH).header("content-type", media_type);
        call.body(body).send().await.expect("a response")
    };
    for (media_type, text, expected) in [
        ("application/json", "{", (400, "invalid_json")),
        ("application/json", "[]", (400, "invalid_json")),
        ("application/json", "", (400, "invalid_json")),
        ("text/plain", "{}", (415, "unsupported_media_type")),
        ("application/json", &" ".repeat(64 * 1024 + 1), (413, "body_too_large")),
    ] {
        let (status, code) = refusal(send(media_type, text.to_owned()).await).await;
        assert_eq!((status, code.as_str()), expected, "{media_type} {:.9}", text);
    }
    let missing = send("application/json; charset=utf-8", "{}".to_owned()).await;
    assert_eq!(faults(missing).await[0].1, "field_missing");
    let wrong = json!({"current_password": 7, "new_password": NEW});
    let response = staff.post(PATH, &wrong).await;
    assert_eq!(
        faults(response).await,
        [("current_password".to_owned(), "field_invalid".to_owned())]
    );
    let secret = json!({"current_password": [PASSWORD], "new_password": NEW});
    let text = staff.post(PATH, &secret).await.text().await.expect("text");
    assert!(!text.contains(PASSWORD), "{text}");
    stack.stop().await;
}

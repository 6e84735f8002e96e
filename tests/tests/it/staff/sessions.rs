//! Tests of signing in, signing out, and refreshing and ending sessions.

use diagflow_store::Role;
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions, Staff, eventually};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const VALIDATE: &str = "/api/v1/auth/validate";
const SESSIONS: &str = "/api/v1/auth/sessions";

async fn refresh(stack: &Stack, token: &Value) -> Response {
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/refresh"));
    call.json(&json!({"refresh_token": token})).send().await.expect("a response")
}

async fn body(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json().await.expect("JSON")
}

fn ended() -> (u16, String) {
    (401, "session_ended".to_owned())
}

#[tokio::test]
async fn an_ended_session_is_rejected_on_every_replica() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let (replica, client) = stack.start_replica().await;
    assert_eq!(staff.at_api(&client).get(VALIDATE).await.status(), 200);

    let out = staff.request(Method::POST, "/api/v1/auth/logout").send().await.expect("a response");
    assert_eq!(out.status(), 204);

    let again =
        staff.request(Method::POST, "/api/v1/auth/logout").send().await.expect("a response");
    assert_eq!(refusal(again).await, ended());
    assert_eq!(
        refusal(staff.at_api(&client).get(VALIDATE).await).await,
        ended(),
        "the ended session is still valid on the replica"
    );
    let lines = stack
        .database
        .texts(
            "SELECT CONCAT_WS(' ', number, action, result, actor_name) FROM audit ORDER BY number",
        )
        .await;
    let email = &staff.email;
    assert_eq!(
        lines,
        [
            "1 user_create success tests".to_owned(),
            format!("2 sign_in success {email}"),
            format!("3 sign_out success {email}"),
            format!("4 access session_ended {email}"),
            format!("5 access session_ended {email}"),
        ]
    );
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn validate_returns_the_user_and_permissions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Clinician).await;

    let validated = body(staff.get(VALIDATE).await).await;

    assert_eq!(validated["user"]["id"], staff.id.to_string());
    assert_eq!(validated["user"]["role"], "clinician");
    assert_eq!(validated["user"]["enabled"], true);
    assert_eq!(
        validated["permissions"],
        json!(["account:self", "submissions:read", "clinical:read", "submissions:update"])
    );
    assert_eq!(validated["session_id"], staff.session["session_id"]);
    assert_eq!(validated["csrf_token"], staff.session["csrf_token"]);
    assert!(validated["expires_at"].is_string(), "{validated}");
    let nobody = stack.client.get(VALIDATE).await;
    assert_eq!(refusal(nobody).await, (401, "sign_in_required".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn a_refresh_token_works_once_with_a_grace_period_for_lost_responses() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let first = &staff.session["refresh_token"];

    let second = body(refresh(&stack, first).await).await;
    let repeated = body(refresh(&stack, first).await).await;

    assert_eq!(second["session_id"], staff.session["session_id"]);
    assert_ne!(second["refresh_token"], *first);
    assert_eq!(
        second["refresh_token"], repeated["refresh_token"],
        "a repeated refresh returned another token"
    );
    let mut refreshed = staff.clone();
    refreshed.access_token = second["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(refreshed.get(VALIDATE).await.status(), 200);

    // The test moves the refresh time into the past so that the ten-second grace period has ended.
    stack
        .database
        .execute("UPDATE sessions SET refreshed_at = DATE_SUB(refreshed_at, INTERVAL 11 SECOND)")
        .await;
    assert_eq!(refusal(refresh(&stack, &staff.session["refresh_token"]).await).await, ended());
    assert_eq!(refusal(staff.get(VALIDATE).await).await, ended());
    assert_eq!(refusal(refresh(&stack, &second["refresh_token"]).await).await, ended());
    let reasons = stack.database.texts("SELECT end_reason FROM sessions").await;
    assert_eq!(reasons, ["refresh_reused"]);
    let lines = stack
        .database
        .texts(
            "SELECT CONCAT_WS(' ', action, object_kind, result, actor_kind, details) FROM audit \
             WHERE action IN ('session_refresh', 'session_end') ORDER BY number",
        )
        .await;
    assert_eq!(
        lines,
        [
            "session_refresh session success user {}",
            "session_end session success user {\"reason\":\"refresh_reused\"}",
            "session_refresh session session_ended user {}",
            "session_refresh session session_ended user {}",
        ]
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_reused_refresh_token_ends_its_session_and_a_forged_one_does_not() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let first = &staff.session["refresh_token"];
    let second = body(refresh(&stack, first).await).await;
    let third = body(refresh(&stack, &second["refresh_token"]).await).await;

    let text = first.as_str().expect("a token");
    // The forged token is still valid base64, but its encrypted part has been changed.
    let (head, tail) = text.split_at(text.len() - 20);
    let (middle, end) = tail.split_at(16);
    let forged = format!("{head}{}{end}", middle.chars().rev().collect::<String>());
    for wrong in [json!(forged), json!("nonsense"), json!(staff.access_token)] {
        let response = refusal(refresh(&stack, &wrong).await).await;
        assert_eq!(response, (401, "token_invalid".to_owned()), "{wrong}");
    }
    assert_eq!(staff.get(VALIDATE).await.status(), 200, "a forged token ended the session");

    assert_eq!(
        refusal(refresh(&stack, first).await).await,
        ended(),
        "a token was accepted after two later refreshes"
    );
    assert_eq!(refusal(refresh(&stack, &third["refresh_token"]).await).await, ended());
    assert_eq!(refusal(staff.get(VALIDATE).await).await, ended());
    stack.stop().await;
}

#[tokio::test]
async fn a_session_expires_when_idle_and_at_its_maximum_age() {
    let options = StackOptions::default()
        .with("SESSION_IDLE_TIMEOUT_SECONDS", "2")
        .with("SESSION_LIFETIME_SECONDS", "5");
    let stack = Stack::api_only(options).await;
    let started = Instant::now();
    let used = Staff::with_role(&stack, Role::Operator).await;

    eventually("the session in use to reach its maximum age", || async {
        (used.get(VALIDATE).await.status() == 401).then_some(())
    })
    .await;
    let lifetime = started.elapsed();
    assert!(
        lifetime >= Duration::from_millis(4900),
        "the session expired early, after {lifetime:?}"
    );

    let unused = Staff::with_role(&stack, Role::Operator).await;
    let session = unused.session["session_id"].as_str().expect("an id");
    let is = async |condition: &str| {
        let query = format!("SELECT COUNT(*) FROM sessions WHERE id = '{session}' AND {condition}");
        stack.database.number(&query).await == 1
    };
    assert!(is("idle_after > UTC_TIMESTAMP(6)").await);
    assert_eq!(unused.get(VALIDATE).await.status(), 200);
    eventually("the session to become idle", || async {
        is("idle_after < UTC_TIMESTAMP(6)").await.then_some(())
    })
    .await;
    assert_eq!(refusal(unused.get(VALIDATE).await).await, ended());
    assert!(
        is("expires_at > UTC_TIMESTAMP(6)").await,
        "the session ended because of its age instead of its idle time"
    );
    stack.stop().await;
}

#[tokio::test]
async fn users_list_and_end_only_their_own_sessions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let one = Staff::with_role(&stack, Role::Operator).await;
    let two = one.sign_in_again(&stack).await;
    let three = one.sign_in_again(&stack).await;
    let other = Staff::with_role(&stack, Role::Operator).await;

    let list = body(one.get(SESSIONS).await).await;

    let sessions = list["data"].as_array().expect("a list");
    assert_eq!(sessions.len(), 3, "{list}");
    let current: Vec<&Value> = sessions.iter().filter(|it| it["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], one.session["session_id"]);
    assert_eq!(current[0]["address"], "127.0.0.1");

    let path =
        |of: &Staff| format!("{SESSIONS}/{}", of.session["session_id"].as_str().expect("an id"));
    let not_found = (404, "not_found".to_owned());
    assert_eq!(refusal(one.delete(&path(&other)).await).await, not_found);
    assert_eq!(refusal(one.delete(&format!("{SESSIONS}/no-id")).await).await, not_found);
    assert_eq!(other.get(VALIDATE).await.status(), 200);
    assert_eq!(one.delete(&path(&two)).await.status(), 204);
    assert_eq!(refusal(two.get(VALIDATE).await).await, ended());
    assert_eq!(
        refusal(one.delete(&path(&two)).await).await,
        not_found,
        "an ended session was found"
    );

    assert_eq!(body(one.delete(SESSIONS).await).await["ended"], 1);
    assert_eq!(refusal(three.get(VALIDATE).await).await, ended());
    assert_eq!(one.get(VALIDATE).await.status(), 200);
    assert_eq!(other.get(VALIDATE).await.status(), 200);
    stack.stop().await;
}

#[tokio::test]
async fn admins_list_and_end_any_session() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let one = Staff::with_role(&stack, Role::Clinician).await;
    let two = one.sign_in_again(&stack).await;
    let three = one.sign_in_again(&stack).await;
    let sessions = format!("/api/v1/users/{}/sessions", one.id);
    let session = format!("{sessions}/{}", one.session["session_id"].as_str().expect("an id"));
    let of_admin = format!("{sessions}/{}", admin.session["session_id"].as_str().expect("an id"));

    assert_eq!(body(admin.get(&sessions).await).await["data"].as_array().map(Vec::len), Some(3));
    for refused in
        [two.get(&sessions).await, two.delete(&sessions).await, two.delete(&session).await]
    {
        assert_eq!(refusal(refused).await, (403, "forbidden".to_owned()));
    }
    assert_eq!(
        admin.delete(&of_admin).await.status(),
        404,
        "a session was found under the path of another account"
    );

    assert_eq!(admin.delete(&session).await.status(), 204);
    assert_eq!(refusal(one.get(VALIDATE).await).await, ended());
    assert_eq!(two.get(VALIDATE).await.status(), 200);
    assert_eq!(body(admin.delete(&sessions).await).await["ended"], 2);
    assert_eq!(refusal(two.get(VALIDATE).await).await, ended());
    assert_eq!(refusal(three.get(VALIDATE).await).await, ended());
    assert_eq!(admin.get(VALIDATE).await.status(), 200);
    let reasons = stack
        .database
        .texts("SELECT DISTINCT end_reason FROM sessions WHERE end_reason IS NOT NULL")
        .await;
    assert_eq!(reasons, ["ended_by_admin"]);
    stack.stop().await;
}

#[tokio::test]
async fn only_sessions_that_ended_long_ago_are_removed() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (user, _) = create_account(&stack, Role::Operator).await;
    let session = |id: &str, started: u32, lifetime: u32, ended: &str| {
        format!(
            "('{id}', '{user}', '', NOW(6), '192.0.2.0/24', '192.0.2.1', '', \
             NOW(6) - INTERVAL {started} DAY, NOW(6), NOW(6) - INTERVAL 1 DAY, \
             NOW(6) - INTERVAL {started} DAY + INTERVAL {lifetime} DAY, {ended})"
        )
    };
    let columns = "id, user_id, refresh, refreshed_at, network, address, user_agent, created_at, \
                   used_at, idle_after, expires_at, ended_at";
    let rows = [
        session("expired long ago", 40, 1, "NULL"),
        session("ended long ago", 40, 1, "NOW(6) - INTERVAL 40 DAY"),
        session("sign-in from a known network", 29, 0, "NOW(6) - INTERVAL 29 DAY"),
        session("started long ago, expired recently", 40, 20, "NULL"),
        session("ended before its expiry", 40, 50, "NOW(6) - INTERVAL 39 DAY"),
        session("still active", 40, 50, "NULL"),
    ];
    let insert = format!("INSERT INTO sessions ({columns}) VALUES {}", rows.join(", "));
    stack.database.execute(&insert).await;

    stack.start_api().await;

    let left = eventually("a sweep to remove old sessions", || async {
        let left = stack.database.texts("SELECT id FROM sessions ORDER BY id").await;
        (left.len() < rows.len()).then_some(left)
    })
    .await;
    let expected = [
        "ended before its expiry",
        "sign-in from a known network",
        "started long ago, expired recently",
        "still active",
    ];
    assert_eq!(left, expected);
    // The test inserts more rows than a single statement removes.
    let copies = format!(
        "INSERT INTO sessions ({columns}) SELECT UUID(), user_id, refresh, refreshed_at, network, \
         address, user_agent, created_at, used_at, idle_after, NOW(6) - INTERVAL 31 DAY, ended_at \
         FROM sessions"
    );
    for _ in 0..11 {
        stack.database.execute(&copies).await;
    }
    let mut swept = Vec::new();
    while swept.last() != Some(&0) {
        swept.push(stack.store.sweep_sessions().await.expect("a response"));
    }
    assert_eq!(swept, [5000, 3188, 0]);
    assert_eq!(stack.database.texts("SELECT id FROM sessions ORDER BY id").await, expected);
    stack.stop().await;
}

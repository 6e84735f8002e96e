//! Signing in and out.

use diagflow_store::Role;
use diagflow_tests::{Stack, StackOptions, Staff};
use reqwest::Method;
use serde_json::Value;

/// Status and stable code of an answer.
async fn refusal(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    (status, body["error"]["code"].as_str().expect("a code").to_owned())
}

#[tokio::test]
async fn a_session_that_was_ended_opens_nothing_any_more() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let out = staff.request(Method::POST, "/api/v1/auth/logout").send().await.expect("an answer");
    assert_eq!(out.status(), 204);

    let again = staff.request(Method::POST, "/api/v1/auth/logout").send().await.expect("an answer");
    assert_eq!(refusal(again).await, (401, "session_ended".to_owned()));
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
            "1 user_create done tests".to_owned(),
            format!("2 sign_in done {email}"),
            format!("3 sign_out done {email}"),
            "4 access session_ended ".to_owned(),
        ]
    );
    stack.stop().await;
}

//! Tests in which patients poll the status of their submission or cancel it.

use diagflow_store::Role;
use diagflow_tests::assertions::{cancelled, executions, wait_completed_once, wait_ended_once};
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::responses::{header, outcome, refusal};
use diagflow_tests::{AcceptedSubmission, ApiClient, Stack, StackOptions, Staff, photos};
use reqwest::{RequestBuilder, Response, StatusCode};
use std::time::Duration;

fn stuck() -> StackOptions {
    StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600")
}

fn cancel_request(stack: &Stack, submission: &AcceptedSubmission) -> RequestBuilder {
    let path = format!("/api/user/cancel/{}", submission.submission_id);
    reqwest::Client::new().post(stack.client.url(&path))
}

async fn cancel(stack: &Stack, submission: &AcceptedSubmission) -> Response {
    let request = cancel_request(stack, submission).bearer_auth(&submission.access_token);
    request.send().await.expect("a response")
}

async fn audit_entries(stack: &Stack, submission: &AcceptedSubmission) -> Vec<String> {
    let query = format!(
        "SELECT CONCAT_WS(' ', actor_kind, action, result, details) FROM audit \
         WHERE object_id = '{}' ORDER BY number",
        submission.submission_id
    );
    stack.database.audit_rows(&query).await
}

#[tokio::test]
async fn a_patient_cancels_a_running_submission() {
    let (stack, submission) = Stack::with_submission(stuck()).await;
    stack.wait_for_status(&submission, "processing").await;

    assert_eq!(outcome(cancel(&stack, &submission).await).await, (202, "cancelling".to_owned()));

    wait_ended_once(&stack, &submission, cancelled()).await;
    assert_eq!(outcome(cancel(&stack, &submission).await).await, (202, "cancelled".to_owned()));
    let entry = |result: &str| {
        format!(r#"anonymous submission_cancel {result} {{"credential":"submission_token"}}"#)
    };
    assert_eq!(audit_entries(&stack, &submission).await, [entry("success"), entry("unchanged")]);
    stack.stop().await;
}

#[tokio::test]
async fn a_browser_cancels_a_waiting_submission_with_its_cookie() {
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", NOWHERE);
    let stack = Stack::api_only(options).await;
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    let response = stack.client.post(&body, None).await.expect("a response");
    let cookies: Vec<String> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().expect("text").to_owned())
        .collect();
    let text = response.text().await.expect("a body");
    let receipt: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let url = receipt["cancel_url"].as_str().expect("a URL");
    let path = reqwest::Url::parse(url).expect("a URL").path().to_owned();
    let cookie = cookies.iter().find(|cookie| cookie.contains(&format!("Path={path}")));
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie for {path} in {cookies:?}"));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().expect("a name and a value");

    let request = reqwest::Client::new().post(url).header("cookie", pair);
    let response = request.send().await.expect("a response");

    assert_eq!(outcome(response).await, (202, "cancelled".to_owned()));
    let submission: AcceptedSubmission = serde_json::from_str(&text).expect("a receipt");
    let document = stack.wait_for_status(&submission, "cancelled").await;
    let message = document["message"].as_str().expect("a message");
    let advice = document["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with(advice), "{message} does not contain {advice}");
    assert!(executions(&stack, &submission).is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn only_the_patient_can_cancel_a_submission_and_only_before_it_ends() {
    let stack = Stack::start().await;
    let (mine, other) = (
        stack.client.submit("ana@example.org", "", &[photos::retina()]).await,
        stack.client.submit("bo@example.org", "", &[photos::retina()]).await,
    );
    wait_completed_once(&stack, &mine).await;

    let response = cancel(&stack, &mine).await;
    assert_eq!(refusal(response).await, (409, "already_final".to_owned()));
    let not_found = (404, "not_found".to_owned());
    let staff = Staff::with_role(&stack, Role::Operator).await;
    for token in [&other.access_token, &staff.access_token] {
        let request = cancel_request(&stack, &mine).bearer_auth(token);
        assert_eq!(refusal(request.send().await.expect("a response")).await, not_found);
    }
    let entries = audit_entries(&stack, &mine).await;
    assert!(entries[0].contains("submission_cancel already_final"), "{entries:?}");
    assert!(entries[1].contains("submission_cancel not_found"), "{entries:?}");
    stack.database.execute("UPDATE submissions SET deleted_at = NOW(6)").await;
    assert_eq!(refusal(cancel(&stack, &mine).await).await, not_found);
    stack.stop().await;
}

#[tokio::test]
async fn a_client_polls_the_status_until_the_submission_ends() {
    let (stack, submission) = Stack::with_submission(stuck()).await;
    stack.wait_for_status(&submission, "processing").await;
    let get = async |tag: &str| {
        let path = format!("/api/user/status/{}", submission.submission_id);
        let request = reqwest::Client::new().get(stack.client.url(&path));
        let request = request.bearer_auth(&submission.access_token).header("If-None-Match", tag);
        request.send().await.expect("a response")
    };
    let first = get("").await;
    assert_eq!(first.status(), StatusCode::OK);
    let seconds: u64 = header(&first, "retry-after").parse().expect("seconds");
    assert!(Duration::from_secs(seconds) <= Duration::from_secs(60), "{seconds}");
    let tag = header(&first, "etag");

    let unchanged = get(&tag).await;

    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(
        (header(&unchanged, "etag"), header(&unchanged, "retry-after")),
        (tag.clone(), "5".to_owned())
    );
    assert!(unchanged.bytes().await.expect("a body").is_empty());
    cancel(&stack, &submission).await;
    wait_ended_once(&stack, &submission, cancelled()).await;
    let ended = get(&tag).await;
    assert_eq!(ended.status(), StatusCode::OK);
    assert!(!ended.headers().contains_key("retry-after"));
    assert_ne!(header(&ended, "etag"), tag);
    stack.stop().await;
}

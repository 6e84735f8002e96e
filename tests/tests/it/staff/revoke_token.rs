//! Tests in which staff revoke a submission's access token.

use diagflow_store::Role;
use diagflow_tests::client::expect_accepted;
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{AcceptedSubmission, ApiClient, Stack, StackOptions, Staff, photos};
use futures::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn revoke(staff: &Staff, submission: &AcceptedSubmission, reason: &str) -> Response {
    let path = format!("/api/admin/submissions/{}/revoke-token", submission.submission_id);
    staff.post(&path, &json!({"reason": reason})).await
}

async fn cancel_as_patient(stack: &Stack, submission: &AcceptedSubmission) -> Response {
    let path = format!("/api/user/cancel/{}", submission.submission_id);
    let request = reqwest::Client::new().post(stack.client.url(&path));
    request.bearer_auth(&submission.access_token).send().await.expect("a response")
}

#[tokio::test]
async fn a_revoked_token_grants_no_access_and_its_open_streams_end() {
    let options = StackOptions::default().with("EVENTS_HEARTBEAT_SECONDS", "0.2");
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let sent = ApiClient::submission_body("ana@example.org", "itches", &[photos::retina()]);
    let send = async || stack.client.post(&sent, Some("key-1")).await.expect("a response");
    let submission = expect_accepted(send().await).await;
    let other = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;
    let mut stream = stack.client.events(&submission, None).await;
    assert_eq!(stream.next().await.expect("an event").data["step"], "received");

    assert_eq!(refusal(revoke(&admin, &submission, "").await).await.1, "reason_required");
    let first = body(revoke(&admin, &submission, "The phone was stolen").await).await;
    let second = body(revoke(&admin, &submission, "The phone was stolen").await).await;

    assert_eq!(first, json!({"success": true, "changed": true}));
    assert_eq!(second, json!({"success": true, "changed": false}));
    assert!(stream.next().await.is_none(), "the stream did not end");
    let not_found = (404, "not_found".to_owned());
    let status = stack.client.get_status(&submission).await.expect("a response");
    assert_eq!(refusal(status).await, not_found);
    let events = stack.client.open_events(&submission, None).await.expect("a response");
    assert_eq!(refusal(events).await, not_found);
    assert_eq!(refusal(cancel_as_patient(&stack, &submission).await).await, not_found);
    assert_eq!(refusal(send().await).await, (410, "token_revoked".to_owned()));

    let other_status = stack.client.get_status(&other).await.expect("a response");
    assert_eq!(other_status.status(), 200);
    for what in ["status", "events"] {
        let path = format!("/api/user/{what}/{}", submission.submission_id);
        let request = admin.request(Method::GET, &path);
        let cookie = format!("diagflow_access={}", submission.access_token);
        let response = request.header("Cookie", cookie).send().await.expect("a response");
        assert_eq!(response.status(), 200, "staff must still have access to {what}");
    }
    let entries = admin.audit("action=submission_token_revoke").await;
    let results: Vec<&Value> = entries.iter().map(|entry| &entry["result"]).collect();
    assert_eq!(results, ["unchanged", "success"]);
    assert_eq!(entries[1]["object_id"], submission.submission_id.as_str());
    assert_eq!(entries[1]["details"]["reason"], "The phone was stolen");
    stack.stop().await;
}

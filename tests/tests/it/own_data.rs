//! Tests in which patients read their photos and erase their submission.

use diagflow_store::{Failpoint, Role};
use diagflow_tests::assertions::{mails, steps, wait_completed_once};
use diagflow_tests::responses::{body, header, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, history, photos};
use reqwest::Response;
use serde_json::{Value, json};

async fn photo(stack: &Stack, submission: &AcceptedSubmission, position: &str) -> Response {
    photo_with(stack, submission, position, &submission.access_token).await
}

async fn photo_with(
    stack: &Stack,
    submission: &AcceptedSubmission,
    position: &str,
    token: &str,
) -> Response {
    let path = format!("/api/user/files/{}/{position}", submission.submission_id);
    let request = reqwest::Client::new().get(stack.client.url(&path)).bearer_auth(token);
    request.send().await.expect("a response")
}

async fn erase_with(
    stack: &Stack,
    submission: &AcceptedSubmission,
    request: &Value,
    token: &str,
) -> Response {
    let path = format!("/api/user/erase/{}", submission.submission_id);
    let call = reqwest::Client::new().post(stack.client.url(&path)).json(request);
    call.bearer_auth(token).send().await.expect("a response")
}

async fn erase(stack: &Stack, submission: &AcceptedSubmission) -> Response {
    let request = json!({"confirm": submission.submission_id});
    erase_with(stack, submission, &request, &submission.access_token).await
}

fn not_found() -> (u16, String) {
    (404, "not_found".to_owned())
}

async fn audit_entries(stack: &Stack, submission: &AcceptedSubmission) -> Vec<String> {
    let query = format!(
        "SELECT CONCAT_WS(' ', actor_kind, action, result) FROM audit WHERE object_id = '{}' ORDER BY number",
        submission.submission_id
    );
    stack.database.audit_rows(&query).await
}

#[tokio::test]
async fn a_patient_gets_each_photo_as_uploaded() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let sent = [photos::retina(), photos::cat()];
    let submission = stack.client.submit("ana@example.org", "", &sent).await;

    for (position, sent) in ["1", "2"].into_iter().zip(&sent) {
        let response = photo(&stack, &submission, position).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), sent.media_type);
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "content-security-policy"), "default-src 'none'; sandbox");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert!(response.bytes().await.expect("a photo") == sent.bytes, "photo {position}");
    }
    for position in ["0", "3", "-1", "first"] {
        assert_eq!(refusal(photo(&stack, &submission, position).await).await, not_found());
    }
    stack.stop().await;
}

#[tokio::test]
async fn only_the_patient_and_clinical_staff_can_read_a_photo() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let mine = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let other = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    for token in [&other.access_token, &operator.access_token] {
        assert_eq!(refusal(photo_with(&stack, &mine, "1", token).await).await, not_found());
    }

    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let response = photo_with(&stack, &mine, "1", &clinician.access_token).await;

    assert_eq!(response.status(), 200);
    let file = stack.store.files(id_of(&mine)).await.expect("files")[0].id;
    let views = "SELECT CONCAT_WS(' ', actor_name, result, details) FROM audit WHERE action = 'file_view' \
                 ORDER BY number";
    let expected = [(&operator.email, "not_found"), (&clinician.email, "success")]
        .map(|(email, result)| format!(r#"{email} {result} {{"file":"{file}"}}"#));
    assert_eq!(stack.database.audit_rows(views).await, expected);
    stack.stop().await;
}

#[tokio::test]
async fn a_patient_erases_a_completed_submission_and_gets_a_receipt() {
    let stack = Stack::start().await;
    let submission =
        stack.client.submit("ana@example.org", "it itches", &[photos::unique_retina()]).await;
    wait_completed_once(&stack, &submission).await;

    let first = body(erase(&stack, &submission).await).await;

    assert_eq!((&first["changed"], &first["pending_files"]), (&json!(true), &json!(0)), "{first}");
    let receipt = &first["receipt"];
    assert_eq!(receipt["submission_id"], submission.submission_id.as_str());
    assert_eq!(receipt["reason"], "requested by the patient");
    assert_eq!(receipt["erased_by"]["kind"], "anonymous");
    assert_eq!(
        (&receipt["removed"]["results"], &receipt["removed"]["comments"]),
        (&json!(1), &json!(1))
    );
    assert!(!first.to_string().contains("ana@example.org"), "{first}");

    let second = body(erase(&stack, &submission).await).await;
    assert_eq!((&second["changed"], &second["receipt"]), (&json!(false), receipt));
    assert_eq!(refusal(photo(&stack, &submission, "1").await).await, (410, "erased".to_owned()));
    let entries = audit_entries(&stack, &submission).await;
    let entry = |result: &str| format!("anonymous submission_erase {result}");
    assert_eq!(entries[..2], [entry("success"), entry("unchanged")]);
    stack.stop().await;
}

#[tokio::test]
async fn a_patient_erases_an_open_submission() {
    let stack = Stack::with(StackOptions::default().scenario("stuck")).await;
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.wait_for_status(&submission, "processing").await;

    assert_eq!(body(erase(&stack, &submission).await).await["changed"], true);

    assert_eq!(history::wait_until_closed(&stack, &submission).await, "Canceled");
    assert_eq!(mails(&stack, &submission).len(), 0);
    assert_eq!(steps(&stack, &submission).await.last(), Some(&"erased"));
    stack.stop().await;
}

#[tokio::test]
async fn an_erasure_needs_the_submissions_token_and_a_confirmation() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let mine = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let other = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let confirmed = json!({"confirm": mine.submission_id});
    for token in [&other.access_token, &admin.access_token] {
        assert_eq!(refusal(erase_with(&stack, &mine, &confirmed, token).await).await, not_found());
    }
    for request in [json!({}), json!({"confirm": other.submission_id})] {
        let response = erase_with(&stack, &mine, &request, &mine.access_token).await;
        assert_eq!(refusal(response).await, (400, "confirmation_required".to_owned()));
    }
    let row = stack.store.submission(id_of(&mine)).await.expect("a response");
    assert_eq!(row.expect("a submission").erased_at, None);

    stack.database.execute("UPDATE submissions SET token_revoked_at = NOW(6)").await;
    let response = erase_with(&stack, &mine, &confirmed, &mine.access_token).await;
    assert_eq!(refusal(response).await, not_found());
    stack.stop().await;
}

#[tokio::test]
async fn an_erasure_waits_for_an_email_that_is_being_sent() {
    let stack = Stack::start().await;
    stack.failpoints.arm(Failpoint::AfterMailClaimed);
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterMailClaimed).await;

    let response = erase(&stack, &submission).await;

    assert!(header(&response, "retry-after").parse::<u64>().is_ok());
    assert_eq!(refusal(response).await, (409, "email_in_progress".to_owned()));
    stack.stop().await;
}

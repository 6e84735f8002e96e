//! Tests of who may erase a submission, what the receipt contains, and what remains visible afterwards.

use super::{REASON, erase, request_erasure, stored_files};
use diagflow_store::Role;
use diagflow_tests::assertions::wait_completed_once;
use diagflow_tests::responses::{body, members, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, photos};
use serde_json::{Value, json};

/// Writes `content` to a file and runs `diagflow erase verify` on it. Returns whether the receipt is authentic.
async fn verify(stack: &Stack, content: &Value) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("receipt.json");
    std::fs::write(&file, serde_json::to_string_pretty(content).expect("JSON")).expect("written");
    let path = file.to_str().expect("text");
    stack.run_command(&["erase", "verify", path]).await.status.success()
}

async fn assert_gone_for_the_patient(stack: &Stack, submission: &AcceptedSubmission) {
    let status = stack.client.get_status(submission).await.expect("a response");
    assert_eq!(refusal(status).await, (410, "erased".to_owned()));
    let events = stack.client.open_events(submission, None).await.expect("a response");
    assert_eq!(refusal(events).await, (410, "erased".to_owned()));
    let last = stack.store.submission(id_of(submission)).await.expect("a response");
    let last = last.expect("a submission").last_event.to_string();
    let events = stack.client.open_events(submission, Some(&last)).await.expect("a response");
    assert_eq!(events.status(), 204, "a client that has received all events must not reconnect");
}

#[tokio::test]
async fn a_completed_submission_is_erased_and_its_receipt_can_be_verified() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = photos::unique_retina();
    let digest = diagflow_store::Sha256::of(&photo.bytes).to_string();
    let accepted = stack.client.submit("ana@example.org", "it itches", &[photo]).await;
    wait_completed_once(&stack, &accepted).await;
    let files = stored_files(&stack, &accepted).await;
    let id = accepted.submission_id.as_str();

    let first = erase(&admin, &accepted).await;

    assert_eq!((&first["changed"], &first["pending_files"]), (&json!(true), &json!(0)), "{first}");
    let receipt = &first["receipt"];
    assert_eq!((&receipt["submission_id"], &receipt["reason"]), (&json!(id), &json!(REASON)));
    let by = json!({"kind": "user", "id": admin.id.to_string()});
    assert_eq!(receipt["erased_by"], by);
    let removed = &receipt["removed"];
    for (name, expected) in [("email_addresses", 1), ("comments", 1), ("results", 1), ("notes", 0)]
    {
        assert_eq!(removed[name], expected, "{name}: {removed}");
    }
    assert_eq!(removed["files"][0]["sha256"], digest.as_str());
    assert_eq!(removed["files"][0]["shared"], false);
    assert_eq!(removed["loopai_executions"].as_array().map(Vec::len), Some(1));
    assert!(files.iter().all(|file| !file.exists()), "{files:?}");
    for secret in ["ana@example.org", "itches"] {
        assert!(!first.to_string().contains(secret), "{first}");
    }

    assert!(verify(&stack, &first).await, "the response was not accepted as a receipt");
    assert!(verify(&stack, receipt).await);
    let mut changed = receipt.clone();
    changed["removed"]["results"] = json!(0);
    assert!(!verify(&stack, &changed).await, "a changed receipt was accepted");

    let second = erase(&admin, &accepted).await;
    assert_eq!((&second["changed"], &second["receipt"]), (&json!(false), receipt));
    assert_gone_for_the_patient(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn staff_see_only_states_and_times_of_an_erased_submission() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let photo = photos::unique_retina();
    let accepted = stack.client.submit("ana@example.org", "it itches", &[photo]).await;
    wait_completed_once(&stack, &accepted).await;
    let path = format!("/api/admin/submissions/{}", accepted.submission_id);
    let before = body(admin.get(&path).await).await;
    let file = before["data"]["files"][0]["url"].as_str().expect("a path").to_owned();

    erase(&admin, &accepted).await;

    let detail = body(clinician.get(&path).await).await;
    let data = &detail["data"];
    assert!(data["erased_at"].is_string(), "{data}");
    for name in ["status", "created_at", "finished_at", "consent_version", "consent_at", "runs"] {
        assert_eq!(data[name], before["data"][name], "{name}");
    }
    for (name, expected) in [
        ("email", Value::Null),
        ("note", Value::Null),
        ("comments", json!("")),
        ("files", json!([])),
    ] {
        assert_eq!(data[name], expected, "{name}");
    }
    assert!(data.get("result").is_none_or(Value::is_null), "{data}");
    let events = data["events"].as_array().expect("events");
    assert_eq!(events.last().expect("an event")["step"], "erased");
    assert_eq!(refusal(clinician.get(&file).await).await, (404, "not_found".to_owned()));
    let list = body(admin.get("/api/admin/submissions?deleted=only").await).await;
    assert_eq!(members(&list, "id"), [accepted.submission_id.as_str()]);
    assert!(list["data"][0]["erased_at"].is_string() && list["data"][0]["email"].is_null());

    let reason = json!({"reason": "a test"});
    let restore = admin.post(&format!("{path}/restore"), &reason).await;
    assert_eq!(refusal(restore).await, (410, "erased".to_owned()));
    for action in ["retry", "cancel"] {
        let refused = admin.post(&format!("{path}/{action}"), &reason).await;
        assert_eq!(refusal(refused).await, (404, "not_found".to_owned()), "{action}");
    }
    let entries = stack
        .database
        .texts(&format!(
            "SELECT CONCAT_WS(' ', action, result) FROM audit WHERE object_id = '{}' AND action IN \
             ('submission_erase', 'submission_restore') ORDER BY number",
            accepted.submission_id
        ))
        .await;
    assert_eq!(entries, ["submission_erase success", "submission_restore erased"]);
    stack.stop().await;
}

#[tokio::test]
async fn an_erasure_requires_permission_a_reason_and_a_repeated_id() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let id = accepted.submission_id.as_str();
    for role in [Role::Operator, Role::Clinician] {
        let staff = Staff::with_role(&stack, role).await;
        let refused = request_erasure(&staff, id).await;
        assert_eq!(refusal(refused).await, (403, "forbidden".to_owned()), "{role}");
    }
    let path = format!("/api/admin/submissions/{id}/erase");
    let other = uuid::Uuid::new_v4().to_string();
    for (given, code) in [
        (json!({"confirm": id}), "reason_required"),
        (json!({"reason": " ", "confirm": id}), "reason_required"),
        (json!({"reason": REASON}), "confirmation_required"),
        (json!({"reason": REASON, "confirm": other}), "confirmation_required"),
    ] {
        let refused = admin.post(&path, &given).await;
        assert_eq!(refusal(refused).await, (400, code.to_owned()), "{given}");
    }
    let missing = request_erasure(&admin, &other).await;
    assert_eq!(refusal(missing).await, (404, "not_found".to_owned()));
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "pending");

    let command = |confirm| ["erase", id, "--reason", REASON, "--confirm", confirm];
    let unconfirmed = stack.run_command(&command(&other)).await;
    assert!(!unconfirmed.status.success());
    let erased = stack.run_command(&command(id)).await;
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let receipt: Value = serde_json::from_slice(&erased.stdout).expect("a receipt");
    assert_eq!(receipt["erased_by"]["kind"], "operator");
    assert!(verify(&stack, &receipt).await);
    assert_gone_for_the_patient(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_file_is_removed_with_the_last_submission_that_contains_it() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = [photos::unique_retina()];
    let first = stack.client.submit("ana@example.org", "", &photo).await;
    let second = stack.client.submit("ben@example.org", "", &photo).await;
    let files = stored_files(&stack, &second).await;

    let erased = erase(&admin, &first).await;
    assert_eq!(erased["receipt"]["removed"]["files"][0]["shared"], true);
    assert!(files[0].exists(), "the other submission lost its file");
    let erased = erase(&admin, &second).await;

    assert_eq!(erased["receipt"]["removed"]["files"][0]["shared"], false);
    assert!(!files[0].exists());
    // The same photo can be submitted again.
    let third = stack.client.submit("ana@example.org", "", &photo).await;
    assert_eq!(stored_files(&stack, &third).await, files);
    assert!(files[0].exists());
    stack.stop().await;
}

#[tokio::test]
async fn a_deleted_submission_is_hidden_from_clinicians_and_operators() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let run = diagflow_store::RunKey { submission: id_of(&accepted), number: 1 };
    diagflow_tests::seeding::end(&stack.store, run, diagflow_store::EndStatus::Failed, "a").await;
    let path = format!("/api/admin/submissions/{}", accepted.submission_id);
    let file = stack.store.files(run.submission).await.expect("files")[0].id;
    let file = format!("/api/admin/files/{file}");
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    assert_eq!(clinician.get(&file).await.status(), 200);

    let delete = admin.request(reqwest::Method::DELETE, &path).json(&json!({"reason": REASON}));
    assert_eq!(delete.send().await.expect("a response").status(), 200);

    for role in [Role::Clinician, Role::Operator] {
        let staff = Staff::with_role(&stack, role).await;
        assert_eq!(refusal(staff.get(&path).await).await, (404, "not_found".to_owned()), "{role}");
        for filter in ["only", "with"] {
            let list = staff.get(&format!("/api/admin/submissions?deleted={filter}")).await;
            assert_eq!(refusal(list).await, (403, "deleted_forbidden".to_owned()), "{role}");
        }
    }
    assert_eq!(refusal(clinician.get(&file).await).await, (404, "not_found".to_owned()));
    assert_eq!(admin.get(&file).await.status(), 200);
    stack.stop().await;
}

#[tokio::test]
async fn audit_entries_about_searches_contain_no_address() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    for filter in ["ana@example.org", "ana*"] {
        body(admin.get(&format!("/api/admin/submissions?email={filter}")).await).await;
    }
    let details = "SELECT details FROM audit WHERE action = 'submissions_view' ORDER BY number";
    let entries = stack.database.audit_rows(details).await;
    let masked = |text| format!(r#"{{"clinical":true,"filter":{{"email":"{text}"}}}}"#);
    assert_eq!(entries, [masked("a…@example.org"), masked("a…")]);
    stack.stop().await;
}

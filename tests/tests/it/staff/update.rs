//! Tests in which staff correct a submission's e-mail address and change its note and assignee without overwriting each
//! other's changes.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Action, Role, SubmissionId};
use diagflow_tests::assertions::{delivery, mails, wait_completed_once};
use diagflow_tests::responses::{body, header, members, refusal};
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, photos, seeding};
use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

const NEW: &str = "ana.new@example.org";

fn path(id: impl std::fmt::Display) -> String {
    format!("/api/admin/submissions/{id}")
}

async fn patch(staff: &Staff, path: &str, etag: &str, body: &Value) -> Response {
    let call = staff.request(Method::PATCH, path).header("if-match", etag);
    call.json(body).send().await.expect("a response")
}

async fn etag(staff: &Staff, path: &str) -> String {
    header(&staff.get(path).await, "etag")
}

fn correction() -> Value {
    json!({"email": NEW, "resend": true, "reason": "the patient called"})
}

async fn seeded(stack: &Stack) -> SubmissionId {
    seeding::submission(&stack.store, "ana@exmaple.org", "itches", None).await.submission
}

#[tokio::test]
async fn an_update_does_not_overwrite_the_changes_of_others() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "", None).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let path = path(run.submission);
    let first = etag(&staff, &path).await;
    let note = |text: &str| json!({ "note": text });

    let unconditional = staff.request(Method::PATCH, &path).json(&note("a")).send().await;
    let unconditional = refusal(unconditional.expect("a response")).await;
    assert_eq!(unconditional, (428, "precondition_required".to_owned()));
    let (one, other) = (note("one"), note("other"));
    let both =
        tokio::join!(patch(&staff, &path, &first, &one), patch(&staff, &path, &first, &other),);
    let (applied, refused) = if both.0.status() == 200 { both } else { (both.1, both.0) };
    let second = header(&applied, "etag");
    assert_ne!(second, first);
    let applied = body(applied).await;
    assert_eq!(refusal(refused).await, (412, "precondition_failed".to_owned()));

    // The `ETag` does not change when the submission completes.
    seeding::complete(&stack.store, run).await;
    assert_eq!(etag(&staff, &path).await, second);
    let data = body(staff.get(&path).await).await["data"].clone();
    assert_eq!((&data["note"], &data["email"]), (&applied["note"], &"ana@example.org".into()));
    let unchanged = patch(&staff, &path, &second, &json!({"note": applied["note"]})).await;
    assert_eq!(
        header(&unchanged, "etag"),
        second,
        "an update that changed nothing must not change the `ETag`"
    );
    let removed = body(patch(&staff, &path, "*", &json!({"note": null})).await).await;
    assert!(removed["note"].is_null(), "{removed}");

    let entry = seeding::audit_entry(Action::SubmissionDelete);
    stack.store.delete_submission(run.submission, &entry).await.expect("deleted");
    let deleted = patch(&staff, &path, "*", &note("a")).await;
    assert_eq!(refusal(deleted).await, (404, "not_found".to_owned()));
    let entries = audit_entries(&stack, run.submission).await;
    let results: Vec<_> = entries.iter().map(|(result, _)| result.as_str()).collect();
    assert_eq!(results, ["success", "precondition_failed", "unchanged", "success", "not_found"]);
    stack.stop().await;
}

#[tokio::test]
async fn an_update_with_a_wildcard_succeeds_despite_concurrent_updates() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let path = path(seeded(&stack).await);
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let notes: Vec<_> = (0..20).map(|number| json!({"note": format!("note {number}")})).collect();
    let updates = join_all(notes.iter().map(|note| patch(&staff, &path, "*", note))).await;

    let statuses: Vec<_> = updates.iter().map(|update| update.status().as_u16()).collect();
    assert_eq!(statuses, [200; 20], "`*` must overwrite other changes");
    let mut etags: Vec<_> = updates.iter().map(|update| header(update, "etag")).collect();
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 20, "each update must have a separate revision: {etags:?}");
    stack.stop().await;
}

/// Returns the result and the details of each audit entry about an update to a submission.
async fn audit_entries(stack: &Stack, id: SubmissionId) -> Vec<(String, Value)> {
    let query = format!(
        "SELECT CONCAT_WS(' ', result, details) FROM audit \
         WHERE action = 'submission_update' AND object_id = '{id}' ORDER BY number"
    );
    let rows = stack.database.audit_rows(&query).await;
    let entry = |row: String| {
        let (result, details) = row.split_once(' ').expect("two columns");
        let mut details: Value = serde_json::from_str(details).expect("JSON");
        details.as_object_mut().expect("an object").remove("session");
        (result.to_owned(), details)
    };
    rows.into_iter().map(entry).collect()
}

#[tokio::test]
async fn notes_and_assignees_are_listed_exported_and_audited() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (id, _) = (seeded(&stack).await, seeded(&stack).await);
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let path = path(id);
    let change = json!({"note": " =call\r\nback ", "assignee": clinician.id});

    let updated = body(patch(&clinician, &path, "*", &change).await).await;

    assert_eq!(
        (&updated["note"], &updated["email"]),
        (&"=call\nback".into(), &"ana@exmaple.org".into())
    );
    let data = body(admin.get(&path).await).await["data"].clone();
    assert_eq!((&data["note"], &data["assignee"]), (&updated["note"], &updated["assignee"]));
    assert_eq!(data["assignee_name"], "Test clinician");
    let assigned = format!("/api/admin/submissions?assignee={}", clinician.id);
    let list = body(admin.get(&assigned).await).await;
    assert_eq!(members(&list, "id"), [id.to_string()]);
    assert_eq!(
        (&list["data"][0]["note"], &list["pagination"]["total"]),
        (&data["note"], &1.into())
    );
    let file = admin.get("/api/admin/submissions/export").await.text().await.expect("a file");
    assert!(
        file.starts_with("id,email,") && file.contains(",assignee,note,email_state,comments,"),
        "{file}"
    );
    assert!(file.contains(&format!(",{},\"'=call\nback\",", clinician.id)), "{file}");

    let (disabled, _) = create_account(&stack, Role::Operator).await;
    let disable = format!("UPDATE users SET disabled_at = NOW(6) WHERE id = '{disabled}'");
    stack.database.execute(&disable).await;
    let (patient, _) = create_account(&stack, Role::Patient).await;
    for account in [disabled.to_string(), patient.to_string(), id.to_string()] {
        let refused = patch(&admin, &path, "*", &json!({"assignee": account})).await;
        let refused: Value = refused.json().await.expect("JSON");
        assert_eq!(refused["error"]["details"][0]["code"], "assignee_invalid", "{refused}");
    }
    let removed = body(patch(&admin, &path, "*", &json!({"assignee": null})).await).await;
    assert!(removed["assignee"].is_null() && removed["note"].is_string(), "{removed}");
    let entries = audit_entries(&stack, id).await;
    let assignee = json!({"fields": ["note", "assignee"], "assignee": clinician.id});
    assert_eq!(entries.first(), Some(&("success".to_owned(), assignee)));
    let unassigned = json!({"fields": ["assignee"], "assignee": null});
    assert_eq!(entries.last(), Some(&("success".to_owned(), unassigned)));
    stack.stop().await;
}

#[tokio::test]
async fn correcting_an_address_needs_a_permission_and_a_reason() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let id = seeded(&stack).await;
    let path = path(id);
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;

    let forbidden = patch(&clinician, &path, "*", &correction()).await;
    assert_eq!(refusal(forbidden).await, (403, "forbidden".to_owned()));
    let without = patch(&operator, &path, "*", &json!({"email": NEW})).await;
    assert_eq!(refusal(without).await, (400, "reason_required".to_owned()));
    let mut typed = correction();
    typed["emial"] = NEW.into();
    let unknown = patch(&operator, &path, "*", &typed).await;
    assert_eq!(refusal(unknown).await, (400, "invalid_input".to_owned()));
    let invalid = json!({"email": "me@127.0.0.1", "reason": "a"});
    let invalid = patch(&operator, &path, "*", &invalid).await;
    assert_eq!(refusal(invalid).await, (400, "invalid_input".to_owned()));

    let corrected = body(patch(&operator, &path, "*", &correction()).await).await;
    assert_eq!(
        (&corrected["email"], &corrected["original_email"]),
        (&NEW.into(), &"ana@exmaple.org".into())
    );
    assert!(
        corrected["resend"].is_null(),
        "an e-mail was resent even though none is due: {corrected}"
    );
    let listed = body(operator.get(&format!("/api/admin/submissions?email={NEW}")).await).await;
    assert_eq!(listed["pagination"]["total"], 1);
    let again = json!({"email": "ana@exmaple.net", "reason": "another mistake"});
    let again = body(patch(&operator, &path, "*", &again).await).await;
    assert_eq!(
        again["original_email"], "ana@exmaple.org",
        "the original address must be the one that the patient entered"
    );

    // The audit log contains patients' addresses only in shortened form.
    let details = json!({
        "fields": ["email"], "reason": "the patient called", "resend": true,
        "email": {"from": "a…@exmaple.org", "to": "a…@example.org"},
    });
    let entries = audit_entries(&stack, id).await;
    assert_eq!(entries[0].0, "forbidden");
    assert_eq!(entries[1], ("success".to_owned(), details));
    stack.stop().await;
}

#[tokio::test]
async fn a_sent_email_is_sent_again_to_the_corrected_address() {
    let stack = Stack::start().await;
    let accepted = stack.client.submit("ana@exmaple.org", "", &[photos::retina()]).await;
    wait_completed_once(&stack, &accepted).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let path = path(&accepted.submission_id);

    let corrected = body(patch(&staff, &path, "*", &correction()).await).await;

    assert_eq!(corrected["resend"]["outcome"], "planned", "{corrected}");
    let both = eventually("the copy to be sent", || async {
        let both = mails(&stack, &accepted);
        (both.len() == 2).then_some(both)
    })
    .await;
    assert_eq!(both[0].to, ["ana@exmaple.org"]);
    assert_eq!(both[1].to, [NEW]);
    let copy = corrected["resend"]["delivery_id"].as_str().expect("an id");
    assert_eq!(both[1].message_id, Some(format!("{copy}@diagflow.example")));
    stack.stop().await;
}

#[tokio::test]
async fn an_email_that_is_due_goes_only_to_the_corrected_address() {
    let stack = Stack::start().await;
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
    let accepted = stack.client.submit("ana@exmaple.org", "", &[photos::retina()]).await;
    let due = eventually("an attempt to fail", || async {
        let all = stack.store.deliveries(accepted.submission_id.parse().expect("an id")).await;
        all.expect("deliveries").pop().filter(|due| due.attempts > 0)
    })
    .await;
    let staff = Staff::with_role(&stack, Role::Operator).await;

    let corrected = patch(&staff, &path(&accepted.submission_id), "*", &correction()).await;

    let corrected = body(corrected).await;
    let expected = json!({"delivery_id": due.id, "outcome": "in_progress"});
    assert_eq!(corrected["resend"], expected);
    stack.mail.set_script([]).expect("a script");
    wait_completed_once(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted)[0].to, [NEW]);
    assert_eq!(delivery(&stack, &accepted).await.copy, 0);
    stack.stop().await;
}

//! Tests of the actors, objects and results recorded in audit entries.

use diagflow_store::Role;
use diagflow_tests::ports::free_port;
use diagflow_tests::responses::outcome;
use diagflow_tests::stack::id_of;
use diagflow_tests::staff::create_account;
use diagflow_tests::tokens::Forgery;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, photos, seeding};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

fn reason_body() -> Value {
    json!({"reason": "a test"})
}

/// Returns the action, the kind of object and the result of each entry, oldest first.
fn summaries(entries: &[Value]) -> Vec<String> {
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let summaries =
        |entry| ["action", "object_kind", "result"].map(|name| field(entry, name)).join(" ");
    entries.iter().rev().map(summaries).collect()
}

async fn submit(stack: &Stack) -> AcceptedSubmission {
    stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await
}

#[tokio::test]
async fn a_failed_sign_in_is_found_by_its_normalized_address() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    for typed in [" Nobody@Example.ORG ", "nobody@example.org"] {
        let given = json!({"email": typed, "password": "nothing"});
        assert_eq!(admin.post("/api/v1/auth/login", &given).await.status(), 401);
    }
    let entries = admin.audit("actor=Nobody@example.org").await;
    assert_eq!(summaries(&entries), ["sign_in service sign_in_failed"; 2]);
    assert_eq!(entries[1]["details"], json!({"typed": " Nobody@Example.ORG "}));
    assert_eq!(entries[0]["details"], json!({}));
    stack.stop().await;
}

#[tokio::test]
async fn all_entries_about_a_submission_are_found_by_its_id() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "itches", None).await;
    seeding::complete(&stack.store, run).await;
    let id = run.submission;
    let file = stack.store.files(id).await.expect("files")[0].id;
    let delivery = stack.store.deliveries(id).await.expect("deliveries")[0].id;
    let image = format!("/api/admin/files/{file}");
    let resend = format!("/api/admin/submissions/{id}/deliveries/{delivery}/resend");

    // The image file does not exist, so the view fails and is audited with the result `unavailable`.
    assert_eq!(admin.get(&image).await.status(), 503);
    assert_eq!(patient.get(&image).await.status(), 403);
    assert_eq!(patient.get(&format!("/api/admin/submissions/{id}")).await.status(), 403);
    assert_eq!(admin.post(&resend, &reason_body()).await.status(), 202);

    let entries = admin.audit(&format!("object_id={id}")).await;
    let expected = [
        "file_view submission unavailable",
        "access submission forbidden",
        "access submission forbidden",
        "mail_resend submission in_progress",
    ];
    assert_eq!(summaries(&entries), expected);
    assert_eq!(entries[0]["details"]["delivery"], delivery.to_string());
    assert_eq!(entries[2]["details"]["file"], file.to_string());
    assert_eq!(entries[3]["details"]["file"], file.to_string());
    let nothing = format!("/api/admin/files/{}", Uuid::new_v4());
    assert_eq!(patient.get(&nothing).await.status(), 403);
    assert_eq!(patient.get(&format!("/api/v1/users/{}", admin.id)).await.status(), 403);
    let about_admin = admin.audit(&format!("object_id={}&action=access", admin.id)).await;
    assert_eq!(summaries(&about_admin), ["access user forbidden"]);
    let of_patient = admin.audit(&format!("actor_id={}&object_kind=file", patient.id)).await;
    assert_eq!(
        summaries(&of_patient),
        ["access file forbidden"],
        "the unknown file belongs to no submission"
    );
    stack.stop().await;
}

#[tokio::test]
async fn image_views_are_found_by_their_submission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = submit(&stack).await;
    let file = stack.store.files(id_of(&accepted)).await.expect("files")[0].id;
    assert_eq!(admin.get(&format!("/api/admin/files/{file}")).await.status(), 200);
    let id = &accepted.submission_id;
    let entries = admin.audit(&format!("object_id={id}&action=file_view&result=success")).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["actor"], admin.email);
    assert_eq!(entries[0]["details"]["file"], file.to_string());
    stack.stop().await;
}

#[tokio::test]
async fn a_known_user_is_named_in_the_audit_log_even_when_denied() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let path = "/api/v1/auth/validate";
    let signed_out = Staff::with_role(&stack, Role::Operator).await;
    let session = signed_out.session["session_id"].as_str().expect("an id").to_owned();
    let expired = signed_out.with_token(Forgery::Expired.of(&signed_out.access_token));
    assert_eq!(expired.get(path).await.status(), 401);
    let by_cookie = reqwest::Client::new().post(stack.client.url("/api/v1/auth/logout"));
    let cookie = format!("diagflow_session={}", signed_out.access_token);
    let response = by_cookie.header("cookie", cookie).send().await.expect("a response");
    assert_eq!(response.status(), 403);
    assert_eq!(signed_out.post("/api/v1/auth/logout", &json!({})).await.status(), 204);
    assert_eq!(signed_out.get(path).await.status(), 401);

    let entries = admin.audit(&format!("actor_id={}", signed_out.id)).await;
    let expected = [
        "sign_in session success",
        "access service token_expired",
        "access service csrf_token_invalid",
        "sign_out session success",
        "access service session_ended",
    ];
    assert_eq!(summaries(&entries), expected);
    for entry in &entries {
        assert_eq!(entry["actor"], signed_out.email, "{entry}");
        assert_eq!(entry["actor_kind"], "user", "{entry}");
    }
    for entry in &entries[..4] {
        assert_eq!(entry["details"]["session"], session, "{entry}");
    }
    let forged = signed_out.with_token(Forgery::WrongKey.of(&signed_out.access_token));
    assert_eq!(forged.get(path).await.status(), 401);
    let entries = admin.audit("action=access&result=token_invalid").await;
    assert_eq!(
        entries[0]["actor_kind"], "anonymous",
        "the audit log trusts the name in a forged token"
    );
    stack.stop().await;
}

#[tokio::test]
async fn an_audit_entry_names_the_session_or_key_and_the_previous_address() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (program, _) = create_account(&stack, Role::Service).await;
    let made = admin.post(&format!("/api/v1/users/{program}/keys"), &json!({"name": "one"})).await;
    let made: Value = made.json().await.expect("JSON");
    let key = admin.with_token(made["api_key"].as_str().expect("a key").to_owned());
    assert_eq!(key.get("/api/admin/submissions").await.status(), 200);
    let entries = admin.audit(&format!("actor_id={program}")).await;
    assert_eq!(summaries(&entries), ["submissions_view service success"]);
    assert_eq!(entries[0]["details"]["key"], made["key"]["id"]);
    assert_eq!(entries[0]["actor_kind"], "service");

    let (other, before) = create_account(&stack, Role::Operator).await;
    let path = format!("/api/v1/users/{other}");
    let change = json!({"email": "New@example.org", "name": "New"});
    assert_eq!(admin.put(&path, &change).await.status(), 200);
    let entries = admin.audit(&format!("object_id={other}&action=user_update")).await;
    let details = &entries[0]["details"];
    assert_eq!(details["email"], "new@example.org", "{details}");
    assert_eq!(details["email_before"], before, "{details}");
    assert_eq!(details["session"], admin.session["session_id"], "{details}");
    stack.stop().await;
}

#[tokio::test]
async fn actions_without_effect_and_failures_are_not_recorded_as_success() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", nobody);
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let id = seeding::submission(&stack.store, "ana@example.org", "", None).await.submission;
    let act = async |what: &str| {
        let path = format!("/api/admin/submissions/{id}/{what}");
        outcome(admin.post(&path, &reason_body()).await).await.1
    };

    assert_eq!(act("retry").await, "in_progress");
    assert_eq!([act("cancel").await, act("cancel").await], ["cancelled"; 2]);
    assert_eq!([act("retry").await, act("retry").await], ["queued", "in_progress"]);
    let summaries_of = async |action: &str| {
        summaries(&admin.audit(&format!("object_id={id}&action={action}")).await)
    };
    let cancellations =
        ["success", "unchanged"].map(|outcome| format!("submission_cancel submission {outcome}"));
    assert_eq!(summaries_of("submission_cancel").await, cancellations);
    let retries = ["in_progress", "success", "in_progress"];
    let retries = retries.map(|outcome| format!("submission_retry submission {outcome}"));
    assert_eq!(summaries_of("submission_retry").await, retries);

    let run = stack.store.runs(id).await.expect("runs")[1].number;
    let run = diagflow_store::RunKey { submission: id, number: run };
    let execution = Uuid::new_v4().to_string();
    stack.store.mark_run_started(run, &execution).await.expect("recorded");
    assert_eq!([act("cancel").await, act("cancel").await], ["cancelling"; 2]);
    let cancellations = summaries_of("submission_cancel").await;
    let last =
        ["success", "in_progress"].map(|outcome| format!("submission_cancel submission {outcome}"));
    assert_eq!(cancellations[2..], last);

    for path in ["history".to_owned(), format!("history/{execution}/raw")] {
        let response = admin.get(&format!("/api/admin/submissions/{id}/{path}")).await;
        assert_eq!(response.status(), 503, "{path}");
    }
    let views = ["history_view submission temporal_unavailable"; 2];
    assert_eq!(summaries_of("history_view").await, views);
    stack.stop().await;
}

#[tokio::test]
async fn only_submissions_of_signed_in_users_are_audited() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let institution = Staff::with_role(&stack, Role::Institution).await;
    let body =
        diagflow_tests::ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    let sent = institution.request(Method::POST, "/api/user/submit").json(&body);
    let sent = sent.header("Idempotency-Key", "once");
    for _ in 0..2 {
        let sent = sent.try_clone().expect("a body in memory").send().await.expect("a response");
        assert_eq!(sent.status(), 202);
    }
    submit(&stack).await;
    let entries = admin.audit("action=submission_create").await;
    assert_eq!(
        summaries(&entries),
        ["submission_create submission success"],
        "a stored submission must have exactly one entry"
    );
    assert_eq!(entries[0]["actor_id"], institution.id.to_string());
    assert_eq!(entries[0]["details"]["files"], 1);
    stack.stop().await;
}

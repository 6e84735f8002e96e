//! What a line of the audit says: who, on what, with which result.

use diagflow_store::Role;
use diagflow_tests::ports::free_port;
use diagflow_tests::stack::id_of;
use diagflow_tests::staff::{account, outcome};
use diagflow_tests::tokens::Forgery;
use diagflow_tests::{Accepted, Stack, StackOptions, Staff, photos, seeding};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

async fn stack() -> Stack {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    stack
}

fn because() -> Value {
    json!({"reason": "a test"})
}

/// Of each line what was done, to what kind of thing, and what came of it; oldest first.
fn told(lines: &[Value]) -> Vec<String> {
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let told = |line| ["action", "object_kind", "result"].map(|name| field(line, name)).join(" ");
    lines.iter().rev().map(told).collect()
}

async fn submit(stack: &Stack) -> Accepted {
    stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await
}

#[tokio::test]
async fn a_failed_sign_in_is_found_by_its_address_however_that_was_typed() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    for typed in [" Nobody@Example.ORG ", "nobody@example.org"] {
        let given = json!({"email": typed, "password": "nothing"});
        assert_eq!(admin.post("/api/v1/auth/login", &given).await.status(), 401);
    }
    let lines = admin.audit("actor=Nobody@example.org").await;
    assert_eq!(told(&lines), ["sign_in service sign_in_failed"; 2]);
    assert_eq!(lines[1]["details"], json!({"typed": " Nobody@Example.ORG "}));
    assert_eq!(lines[0]["details"], json!({}));
    stack.stop().await;
}

#[tokio::test]
async fn everything_about_a_submission_is_found_by_its_id() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "itches", None).await;
    seeding::complete(&stack.store, run).await;
    let id = run.submission;
    let file = stack.store.files(id).await.expect("files")[0].id;
    let delivery = stack.store.deliveries(id).await.expect("deliveries")[0].id;
    let image = format!("/api/admin/files/{file}");
    let resend = format!("/api/admin/submissions/{id}/deliveries/{delivery}/resend");

    // Its bytes are not there: what is not shown is no view, but it was tried.
    assert_eq!(admin.get(&image).await.status(), 503);
    assert_eq!(patient.get(&image).await.status(), 403);
    assert_eq!(patient.get(&format!("/api/admin/submissions/{id}")).await.status(), 403);
    assert_eq!(admin.post(&resend, &because()).await.status(), 202);

    let lines = admin.audit(&format!("object_id={id}")).await;
    let expected = [
        "file_view submission unavailable",
        "access submission forbidden",
        "access submission forbidden",
        "mail_resend submission under_way",
    ];
    assert_eq!(told(&lines), expected);
    assert_eq!(lines[0]["details"]["delivery"], delivery.to_string());
    assert_eq!(lines[2]["details"]["file"], file.to_string());
    assert_eq!(lines[3]["details"]["file"], file.to_string());
    let nothing = format!("/api/admin/files/{}", Uuid::new_v4());
    assert_eq!(patient.get(&nothing).await.status(), 403);
    assert_eq!(patient.get(&format!("/api/v1/users/{}", admin.id)).await.status(), 403);
    let about_admin = admin.audit(&format!("object_id={}&action=access", admin.id)).await;
    assert_eq!(told(&about_admin), ["access user forbidden"]);
    let of_patient = admin.audit(&format!("actor_id={}&object_kind=file", patient.id)).await;
    assert_eq!(told(&of_patient), ["access file forbidden"], "which is of no submission");
    stack.stop().await;
}

#[tokio::test]
async fn who_was_shown_an_image_is_found_by_its_submission() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = submit(&stack).await;
    let file = stack.store.files(id_of(&accepted)).await.expect("files")[0].id;
    assert_eq!(admin.get(&format!("/api/admin/files/{file}")).await.status(), 200);
    let id = &accepted.submission_id;
    let lines = admin.audit(&format!("object_id={id}&action=file_view&result=done")).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["actor"], admin.email);
    assert_eq!(lines[0]["details"]["file"], file.to_string());
    stack.stop().await;
}

#[tokio::test]
async fn somebody_who_is_known_is_named_also_where_they_are_refused() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let path = "/api/v1/auth/validate";
    let gone = Staff::with_role(&stack, Role::Operator).await;
    let session = gone.session["session_id"].as_str().expect("an id").to_owned();
    let late = gone.with_token(Forgery::Expired.of(&gone.access_token));
    assert_eq!(late.get(path).await.status(), 401);
    let by_cookie = reqwest::Client::new().post(stack.client.address("/api/v1/auth/logout"));
    let cookie = format!("diagflow_session={}", gone.access_token);
    let answer = by_cookie.header("cookie", cookie).send().await.expect("an answer");
    assert_eq!(answer.status(), 403);
    assert_eq!(gone.post("/api/v1/auth/logout", &json!({})).await.status(), 204);
    assert_eq!(gone.get(path).await.status(), 401);

    let lines = admin.audit(&format!("actor_id={}", gone.id)).await;
    let expected = [
        "sign_in session done",
        "access service token_expired",
        "access service csrf_token_invalid",
        "sign_out session done",
        "access service session_ended",
    ];
    assert_eq!(told(&lines), expected);
    for line in &lines {
        assert_eq!(line["actor"], gone.email, "{line}");
        assert_eq!(line["actor_kind"], "user", "{line}");
    }
    for line in &lines[..4] {
        assert_eq!(line["details"]["session"], session, "{line}");
    }
    let forged = gone.with_token(Forgery::WrongKey.of(&gone.access_token));
    assert_eq!(forged.get(path).await.status(), 401);
    let lines = admin.audit("action=access&result=token_invalid").await;
    assert_eq!(lines[0]["actor_kind"], "anonymous", "a name in a forged token is nobody's");
    stack.stop().await;
}

#[tokio::test]
async fn a_line_names_the_session_or_the_key_and_what_an_address_was() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (program, _) = account(&stack, Role::Service).await;
    let made = admin.post(&format!("/api/v1/users/{program}/keys"), &json!({"name": "one"})).await;
    let made: Value = made.json().await.expect("JSON");
    let key = admin.with_token(made["api_key"].as_str().expect("a key").to_owned());
    assert_eq!(key.get("/api/admin/submissions").await.status(), 200);
    let lines = admin.audit(&format!("actor_id={program}")).await;
    assert_eq!(told(&lines), ["submissions_view service done"]);
    assert_eq!(lines[0]["details"]["key"], made["key"]["id"]);
    assert_eq!(lines[0]["actor_kind"], "service");

    let (other, before) = account(&stack, Role::Operator).await;
    let path = format!("/api/v1/users/{other}");
    let change = json!({"email": "New@example.org", "name": "New"});
    assert_eq!(admin.put(&path, &change).await.status(), 200);
    let lines = admin.audit(&format!("object_id={other}&action=user_update")).await;
    let details = &lines[0]["details"];
    assert_eq!(details["email"], "new@example.org", "{details}");
    assert_eq!(details["email_before"], before, "{details}");
    assert_eq!(details["session"], admin.session["session_id"], "{details}");
    stack.stop().await;
}

#[tokio::test]
async fn what_changed_nothing_and_what_failed_is_not_told_as_done() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", nobody);
    let mut stack = Stack::without_processes(options).await;
    stack.start_api().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let id = seeding::submission(&stack.store, "ana@example.org", "", None).await.submission;
    let press = async |what: &str| {
        let path = format!("/api/admin/submissions/{id}/{what}");
        outcome(admin.post(&path, &because()).await).await.1
    };

    assert_eq!(press("retry").await, "under_way");
    assert_eq!([press("cancel").await, press("cancel").await], ["cancelled"; 2]);
    assert_eq!([press("retry").await, press("retry").await], ["queued", "under_way"]);
    let told_of =
        async |action: &str| told(&admin.audit(&format!("object_id={id}&action={action}")).await);
    let cancels = ["done", "unchanged"].map(|came| format!("submission_cancel submission {came}"));
    assert_eq!(told_of("submission_cancel").await, cancels);
    let retries = ["under_way", "done", "under_way"];
    let retries = retries.map(|came| format!("submission_retry submission {came}"));
    assert_eq!(told_of("submission_retry").await, retries);

    let run = stack.store.runs(id).await.expect("runs")[1].number;
    let run = diagflow_store::RunKey { submission: id, number: run };
    let execution = Uuid::new_v4().to_string();
    stack.store.run_started(run, &execution).await.expect("noted");
    assert_eq!([press("cancel").await, press("cancel").await], ["cancelling"; 2]);
    let cancels = told_of("submission_cancel").await;
    let last = ["done", "under_way"].map(|came| format!("submission_cancel submission {came}"));
    assert_eq!(cancels[2..], last);

    for path in ["history".to_owned(), format!("history/{execution}/raw")] {
        let answer = admin.get(&format!("/api/admin/submissions/{id}/{path}")).await;
        assert_eq!(answer.status(), 503, "{path}");
    }
    let views = ["history_view submission temporal_unavailable"; 2];
    assert_eq!(told_of("history_view").await, views);
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_of_an_account_is_in_the_audit_and_one_of_nobody_is_not() {
    let stack = stack().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let institution = Staff::with_role(&stack, Role::Institution).await;
    let body = diagflow_tests::ApiClient::body("ana@example.org", "", &[photos::retina()]);
    let sent = institution.request(Method::POST, "/api/user/submit").json(&body);
    let sent = sent.header("Idempotency-Key", "once");
    for _ in 0..2 {
        let sent = sent.try_clone().expect("a body in memory").send().await.expect("an answer");
        assert_eq!(sent.status(), 202);
    }
    submit(&stack).await;
    let lines = admin.audit("action=submission_create").await;
    assert_eq!(told(&lines), ["submission_create submission done"], "what was stored, once");
    assert_eq!(lines[0]["actor_id"], institution.id.to_string());
    assert_eq!(lines[0]["details"]["files"], 1);
    stack.stop().await;
}

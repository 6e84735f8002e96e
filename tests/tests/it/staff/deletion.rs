//! Deleting a submission, and restoring it.

use diagflow_store::{Adoption, Outcome, Role};
use diagflow_tests::answers::{body, members, refusal};
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn press(staff: &Staff, method: Method, path: &str, body: &Value) -> Response {
    staff.request(method, path).json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_deleted_submission_is_gone_until_it_is_restored() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = diagflow_tests::photos::retina();
    let mine = stack.client.submit("ana@example.org", "", &[photo]).await;
    let id = mine.submission_id.clone();
    let run = diagflow_store::RunKey { submission: id.parse().expect("an id"), number: 1 };
    let path = format!("/api/admin/submissions/{id}");
    let restore = format!("{path}/restore");
    let reason = json!({"reason": "asked for by the patient"});
    let delete = async || press(&admin, Method::DELETE, &path, &reason).await;

    // Not while something still happens to it, and not without a reason.
    assert_eq!(refusal(delete().await).await, (409, "not_final".to_owned()));
    seeding::end(&stack.store, run, Outcome::Failed, "loopai_failed").await;
    let no_reason = press(&admin, Method::DELETE, &path, &json!({"reason": " "})).await;
    assert_eq!(refusal(no_reason).await, (400, "reason_required".to_owned()));
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let refused = press(&operator, Method::DELETE, &path, &reason).await;
    assert_eq!(refusal(refused).await, (403, "forbidden".to_owned()));
    assert_eq!(stack.client.status(&mine).await.expect("an answer")["status"], "failed");

    let first = body(delete().await).await;
    assert_eq!(first, json!({"success": true, "deleted": true, "changed": true}));
    let second = body(delete().await).await;
    assert_eq!(second["changed"], false, "pressed twice");

    let status = stack.client.status(&mine).await.expect("an answer");
    assert_eq!(status["error"]["code"], "not_found");
    let events = stack.client.open_events(&mine, None).await.expect("an answer");
    assert_eq!(refusal(events).await, (404, "not_found".to_owned()));
    let by_staff = operator.get(&format!("/api/user/status/{id}")).await;
    assert_eq!(refusal(by_staff).await, (404, "not_found".to_owned()));
    for (query, there) in [("", false), ("?deleted=only", true), ("?deleted=with", true)] {
        let list = body(admin.get(&format!("/api/admin/submissions{query}")).await).await;
        assert_eq!(members(&list, "id").contains(&id), there, "{query}");
        assert_eq!(list["pagination"]["total"], i64::from(there), "{query}");
    }
    assert!(body(admin.get(&path).await).await["data"]["deleted_at"].is_string());
    // An operator's Reset in Temporal sets nothing going that is deleted.
    let reset = uuid::Uuid::new_v4().to_string();
    let adopted = stack.store.adopt(run, &reset, "another", None).await.expect("an answer");
    assert_eq!(adopted, Adoption::Superseded);

    assert_eq!(body(admin.post(&restore, &reason).await).await["changed"], true);
    assert_eq!(body(admin.post(&restore, &reason).await).await["changed"], false);
    assert_eq!(stack.client.status(&mine).await.expect("an answer")["status"], "failed");
    let list = body(admin.get("/api/admin/submissions").await).await;
    assert_eq!(members(&list, "id"), [id.as_str()]);

    let lines = stack
        .database
        .audited(&format!(
            "SELECT CONCAT_WS(' ', action, result, details) FROM audit WHERE object_id = '{id}' \
             AND action IN ('submission_delete', 'submission_restore') ORDER BY number"
        ))
        .await;
    let line = |what: &str| format!(r#"{what} {{"reason":"asked for by the patient"}}"#);
    assert_eq!(
        lines,
        [
            line("submission_delete not_final"),
            line("submission_delete done"),
            line("submission_delete unchanged"),
            line("submission_restore done"),
            line("submission_restore unchanged"),
        ]
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_link_to_a_file_of_a_deleted_submission_opens_nothing() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.set("SECRET_KEY", "a secret of the tests, 32 characters or more");
    stack.start_api().await;
    let photo = diagflow_tests::photos::retina();
    let mine = stack.client.submit("ana@example.org", "", &[photo]).await;
    let run = diagflow_store::RunKey {
        submission: mine.submission_id.parse().expect("an id"),
        number: 1,
    };
    let file = stack.store.files(run.submission).await.expect("files")[0].id;
    let key = diagflow_store::LinkKey::new("a secret of the tests, 32 characters or more");
    let link = key.path(file, 4_000_000_000);
    assert_eq!(stack.client.get(&link).await.status(), 200);

    seeding::end(&stack.store, run, Outcome::Failed, "a").await;
    let line = seeding::line(diagflow_store::Action::SubmissionDelete);
    stack.store.delete_submission(run.submission, &line).await.expect("deleted");

    assert_eq!(stack.client.get(&link).await.status(), 404);
    stack.stop().await;
}

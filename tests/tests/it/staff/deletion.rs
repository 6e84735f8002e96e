//! Tests in which staff delete and restore a submission.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{
    Adoption, Delivery, DeliveryState, DeliveryStatus, EndStatus, FailureCode, FailureReason, Role,
};
use diagflow_tests::assertions::mails;
use diagflow_tests::responses::{body, members, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, history, seeding};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn send(staff: &Staff, method: Method, path: &str, body: &Value) -> Response {
    staff.request(method, path).json(body).send().await.expect("a response")
}

async fn assert_deletion_entries(stack: &Stack, id: &str) {
    let entries = stack
        .database
        .audit_rows(&format!(
            "SELECT CONCAT_WS(' ', action, result, details) FROM audit WHERE object_id = '{id}' \
             AND action IN ('submission_delete', 'submission_restore') ORDER BY number"
        ))
        .await;
    let entry = |what: &str| format!(r#"{what} {{"reason":"asked for by the patient"}}"#);
    assert_eq!(
        entries,
        [
            entry("submission_delete not_final"),
            entry("submission_delete success"),
            entry("submission_delete unchanged"),
            entry("submission_restore success"),
            entry("submission_restore unchanged"),
        ]
    );
}

#[tokio::test]
async fn a_deleted_submission_is_hidden_until_it_is_restored() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = diagflow_tests::photos::retina();
    let accepted = stack.client.submit("ana@example.org", "", &[photo]).await;
    let id = accepted.submission_id.clone();
    let run = diagflow_store::RunKey { submission: id.parse().expect("an id"), number: 1 };
    let path = format!("/api/admin/submissions/{id}");
    let restore = format!("{path}/restore");
    let reason = json!({"reason": "asked for by the patient"});
    let delete = async || send(&admin, Method::DELETE, &path, &reason).await;

    // A submission can be deleted only once it is in a final state, and only with a reason.
    assert_eq!(refusal(delete().await).await, (409, "not_final".to_owned()));
    seeding::end(&stack.store, run, EndStatus::Failed, "loopai_failed").await;
    let no_reason = send(&admin, Method::DELETE, &path, &json!({"reason": " "})).await;
    assert_eq!(refusal(no_reason).await, (400, "reason_required".to_owned()));
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let refused = send(&operator, Method::DELETE, &path, &reason).await;
    assert_eq!(refusal(refused).await, (403, "forbidden".to_owned()));
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "failed");

    let first = body(delete().await).await;
    assert_eq!(first, json!({"success": true, "deleted": true, "changed": true}));
    let second = body(delete().await).await;
    assert_eq!(second["changed"], false, "the second deletion changed the submission");

    let status = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(status["error"]["code"], "not_found");
    let events = stack.client.open_events(&accepted, None).await.expect("a response");
    assert_eq!(refusal(events).await, (404, "not_found".to_owned()));
    let by_staff = operator.get(&format!("/api/user/status/{id}")).await;
    assert_eq!(refusal(by_staff).await, (404, "not_found".to_owned()));
    for (query, is_listed) in [("", false), ("?deleted=only", true), ("?deleted=with", true)] {
        let list = body(admin.get(&format!("/api/admin/submissions{query}")).await).await;
        assert_eq!(members(&list, "id").contains(&id), is_listed, "{query}");
        assert_eq!(list["pagination"]["total"], i64::from(is_listed), "{query}");
    }
    assert!(body(admin.get(&path).await).await["data"]["deleted_at"].is_string());
    // Resetting the run in Temporal does not restart a deleted submission.
    let reset = uuid::Uuid::new_v4().to_string();
    let adopted = stack.store.adopt(run, &reset, "another", None).await.expect("a response");
    assert_eq!(adopted, Adoption::Superseded);

    assert_eq!(body(admin.post(&restore, &reason).await).await["changed"], true);
    assert_eq!(body(admin.post(&restore, &reason).await).await["changed"], false);
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "failed");
    let list = body(admin.get("/api/admin/submissions").await).await;
    assert_eq!(members(&list, "id"), [id.as_str()]);

    assert_deletion_entries(&stack, &id).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_link_to_a_file_of_a_deleted_submission_is_not_found() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.set("SECRET_KEY", "a secret of the tests, 32 characters or more");
    stack.start_api().await;
    let photo = diagflow_tests::photos::retina();
    let accepted = stack.client.submit("ana@example.org", "", &[photo]).await;
    let run = diagflow_store::RunKey {
        submission: accepted.submission_id.parse().expect("an id"),
        number: 1,
    };
    let file = stack.store.files(run.submission).await.expect("files")[0].id;
    let key = diagflow_store::LinkKey::new(&"a secret of the tests, 32 characters or more".into());
    let link = key.path(file, 4_000_000_000);
    assert_eq!(stack.client.get(&link).await.status(), 200);

    seeding::end(&stack.store, run, EndStatus::Failed, "a").await;
    let entry = seeding::audit_entry(diagflow_store::Action::SubmissionDelete);
    stack.store.delete_submission(run.submission, &entry).await.expect("deleted");

    assert_eq!(stack.client.get(&link).await.status(), 404);
    stack.stop().await;
}

fn state(delivery: &Delivery) -> (DeliveryStatus, Option<&str>) {
    (delivery.status, delivery.error_code.as_deref())
}

#[tokio::test]
async fn a_pending_email_is_not_sent_after_its_submission_is_deleted() {
    let (stack, accepted) = {
        let stack = Stack::with(StackOptions::default().scenario("fail")).await;
        stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
        let photo = diagflow_tests::photos::retina();
        let accepted = stack.client.submit("ana@example.org", "itches", &[photo]).await;
        (stack, accepted)
    };
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let deliveries = async || stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    eventually("the e-mail to be deferred", || async {
        deliveries().await.first().filter(|delivery| delivery.attempts >= 1).map(drop)
    })
    .await;
    let path = format!("/api/admin/submissions/{}", accepted.submission_id);
    let reason = json!({"reason": "asked for by the patient"});

    let deleted = send(&admin, Method::DELETE, &path, &reason).await;
    assert_eq!(body(deleted).await["changed"], true);
    let cancelled = (DeliveryStatus::Failed, Some("submission_deleted"));
    assert_eq!(
        deliveries().await.iter().map(state).collect::<Vec<_>>(),
        [cancelled],
        "the e-mail must not be due any longer"
    );
    stack.mail.set_script([]).expect("a script");
    history::wait_until_closed(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted).len(), 0);

    assert_eq!(body(admin.post(&format!("{path}/restore"), &reason).await).await["changed"], true);
    assert_eq!(
        deliveries().await.iter().map(state).collect::<Vec<_>>(),
        [cancelled],
        "the e-mail became due again when the submission was restored"
    );
    let resend = format!("{path}/deliveries/{}/resend", deliveries().await[0].id);
    assert_eq!(body(admin.post(&resend, &reason).await).await["outcome"], "planned");
    eventually("the copy to be sent", || async { mails(&stack, &accepted).pop() }).await;
    eventually("the ledger to be updated", || async {
        let all = deliveries().await;
        (all.len() == 2 && state(&all[1]) == (DeliveryStatus::Sent, None)).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_being_sent_during_the_deletion_is_not_retried() {
    let stack = Stack::without_processes(StackOptions::default()).await;
    let store = &stack.store;
    let run = seeding::submission(store, "ana@example.org", "", None).await;
    seeding::end(store, run, EndStatus::Failed, "loopai_failed").await;
    let id = store.deliveries(run.submission).await.expect("deliveries")[0].id;
    let current_state = async || store.delivery_state(id).await.expect("a response");
    let DeliveryState::Planned(_, attempt) = current_state().await else { panic!("not planned") };
    let lease = std::time::Duration::from_secs(600);
    let claimed = store.claim_delivery(&attempt, lease).await.expect("a response");
    let claimed = claimed.expect("claimed");

    let entry = seeding::audit_entry(diagflow_store::Action::SubmissionDelete);
    store.delete_submission(run.submission, &entry).await.expect("deleted");

    assert!(
        matches!(current_state().await, DeliveryState::Sending { .. }),
        "the deletion stopped an e-mail that was being sent"
    );
    let released =
        store.release_delivery(&claimed, FailureReason::new(FailureCode::SmtpDeferred, "")).await;
    assert!(released.expect("a response"), "the sender could not record the deferral");
    assert_eq!(current_state().await, DeliveryState::Settled(DeliveryStatus::Failed));
    let all = store.deliveries(run.submission).await.expect("deliveries");
    assert_eq!(state(&all[0]), (DeliveryStatus::Failed, Some("submission_deleted")));
    stack.stop().await;
}

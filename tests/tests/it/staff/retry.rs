//! Tests in which staff retry one or many submissions.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Delivery, Role};
use diagflow_tests::assertions::{
    cancelled, executions, failed, mails, steps, timed_out, wait_completed_once, wait_ended_once,
};
use diagflow_tests::responses::{outcome, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos};
use serde_json::{Value, json};

fn path(submission: &AcceptedSubmission) -> String {
    format!("/api/admin/submissions/{}/retry", submission.submission_id)
}

fn reason_body() -> Value {
    json!({"reason": "LoopAI was down"})
}

/// Waits until `count` e-mails have been sent and none is pending.
async fn wait_until_sent(
    stack: &Stack,
    submission: &AcceptedSubmission,
    count: usize,
) -> Vec<Delivery> {
    eventually(format!("{count} e-mails to be sent"), || async {
        let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
        let sent = all.iter().filter(|one| one.status.to_string() == "sent").count();
        let open = all.iter().any(|one| one.settled_at.is_none());
        (sent == count && !open).then_some(all)
    })
    .await
}

#[tokio::test]
async fn a_failed_submission_is_retried_once_despite_repeated_requests() {
    let (stack, accepted) =
        Stack::with_submission(StackOptions::default().scenario("fail*1, delay=2s")).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    let response = staff.post(&path(&accepted), &json!({"reason": ""})).await;
    assert_eq!(refusal(response).await, (400, "reason_required".to_owned()));

    let first = staff.post(&path(&accepted), &reason_body()).await;
    let second = staff.post(&path(&accepted), &reason_body()).await;

    assert_eq!(outcome(first).await, (202, "queued".to_owned()));
    assert_eq!(outcome(second).await, (200, "in_progress".to_owned()));
    let document = stack.wait_for_status(&accepted, "completed").await;
    assert!(document["error"].is_null() && document["result"].is_object(), "{document}");
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    wait_until_sent(&stack, &accepted, 2).await;
    let subjects: Vec<_> =
        mails(&stack, &accepted).iter().map(|mail| mail.subject.clone()).collect();
    assert_eq!(subjects, ["We could not complete your diagnosis", "Your diagnosis result"]);
    assert_eq!(executions(&stack, &accepted).len(), 2);
    let expected = [
        "received",
        "diagnosing",
        "failed",
        "mail_sent",
        "retried",
        "diagnosing",
        "completed",
        "result_ready",
        "mail_sent",
    ];
    assert_eq!(steps(&stack, &accepted).await, expected);
    let results = "SELECT result FROM audit WHERE action = 'submission_retry' ORDER BY number";
    assert_eq!(
        stack.database.texts(results).await,
        ["success", "in_progress"],
        "each call must have an audit entry"
    );
    stack.stop().await;
}

#[tokio::test]
async fn timed_out_and_cancelled_submissions_can_be_retried() {
    for end in [timed_out(), cancelled()] {
        let deadline = if end.status == "timed_out" { "2" } else { "600" };
        let options =
            StackOptions::default().scenario("stuck").with("DIAGNOSIS_DEADLINE_SECONDS", deadline);
        let (mut stack, accepted) = Stack::with_submission(options).await;
        let staff = Staff::with_role(&stack, Role::Operator).await;
        if end.status == "cancelled" {
            stack.wait_for_status(&accepted, "processing").await;
            let cancel = path(&accepted).replace("/retry", "/cancel");
            assert_eq!(staff.post(&cancel, &reason_body()).await.status(), 202);
        }
        wait_ended_once(&stack, &accepted, end).await;
        // The API restarts with a long deadline so that the new run does not time out.
        stack.api.take().expect("running").stop().await;
        stack.set("DIAGNOSIS_DEADLINE_SECONDS", "600");
        stack.start_api().await;
        stack.loopai.set_scenario("complete".parse().expect("a scenario"));

        let response = staff.post(&path(&accepted), &reason_body()).await;

        assert_eq!(outcome(response).await, (202, "queued".to_owned()), "{}", end.status);
        let document = stack.wait_for_status(&accepted, "completed").await;
        assert!(document["error"].is_null() && document["result"].is_object(), "{document}");
        assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
        let all = wait_until_sent(&stack, &accepted, 2).await;
        let kinds: Vec<_> = all.iter().map(|one| (one.run_number, one.kind.to_string())).collect();
        assert_eq!(kinds, [(1, end.status.to_owned()), (2, "result".to_owned())]);
        assert_eq!(executions(&stack, &accepted).len(), 2);
        let history = format!("/api/admin/submissions/{}/history", accepted.submission_id);
        let history: Value = staff.get(&history).await.json().await.expect("JSON");
        let runs = history["runs"].as_array().expect("runs");
        let runs: Vec<_> = runs.iter().map(|run| (&run["number"], &run["status"])).collect();
        let (newest, first) = ((json!(2), json!("Completed")), (json!(1), json!(end.run)));
        assert_eq!(
            runs,
            [(&newest.0, &newest.1), (&first.0, &first.1)],
            "the runs must be listed newest first"
        );
        stack.stop().await;
    }
}

#[tokio::test]
async fn only_staff_can_repeat_a_completed_diagnosis() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    wait_completed_once(&stack, &accepted).await;

    history::reset(&stack, &accepted).await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    assert_eq!(executions(&stack, &accepted).len(), 1, "the reset sent a request to LoopAI");
    let history = ["received", "diagnosing", "completed", "result_ready", "mail_sent"];
    assert_eq!(steps(&stack, &accepted).await, history, "the reset changed the submission");
    assert_eq!(stack.database.count_rows("results").await, 1);
    assert_eq!(mails(&stack, &accepted).len(), 1);

    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));

    wait_until_sent(&stack, &accepted, 2).await;
    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(executions(&stack, &accepted).len(), 2);
    assert_eq!(stack.database.count_rows("results").await, 2, "each run must have its own result");
    stack.database.execute("UPDATE submissions SET deleted_at = NOW(6)").await;
    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(refusal(response).await, (404, "not_found".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn a_retry_does_not_wait_for_an_unavailable_mail_server() {
    let (stack, accepted) = {
        let stack = Stack::with(StackOptions::default().scenario("fail*1")).await;
        stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
        let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
        (stack, accepted)
    };
    let staff = Staff::with_role(&stack, Role::Operator).await;
    eventually("the first run to wait for the mail server", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.first().filter(|delivery| delivery.attempts >= 2).map(drop)
    })
    .await;

    let response = staff.post(&path(&accepted), &reason_body()).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));
    let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    assert_eq!(
        all[0].error_code.as_deref(),
        Some("superseded"),
        "the old e-mail was not superseded: {all:?}"
    );

    stack.wait_for_status(&accepted, "completed").await;
    let history = format!("/api/admin/submissions/{}/history", accepted.submission_id);
    let history: Value = staff.get(&history).await.json().await.expect("JSON");
    let first = &history["runs"][1];
    let signal = "Signal: a newer run is waiting to start";
    let descriptions = |it: &Value| it["description"].as_str().unwrap_or_default().to_owned();
    let descriptions: Vec<_> =
        first["events"].as_array().expect("events").iter().map(descriptions).collect();
    let signalled = descriptions.iter().position(|it| it == signal).expect("the signal");
    let stopped = descriptions[signalled..]
        .iter()
        .any(|it| it == "E-mail to the patient: cancellation requested");
    assert!(stopped, "the e-mail was not stopped: {descriptions:#?}");
    stack.mail.set_script([]).expect("a script");
    let all = wait_until_sent(&stack, &accepted, 1).await;
    let states: Vec<_> = all
        .iter()
        .map(|one| (one.run_number, one.status.to_string(), one.error_code.as_deref()))
        .collect();
    let superseded = (1, "failed".to_owned(), Some("superseded"));
    assert_eq!(states, [superseded, (2, "sent".to_owned(), None)]);
    assert_eq!(mails(&stack, &accepted).len(), 1, "the superseded e-mail was sent");
    stack.stop().await;
}

/// Requests a bulk retry. Returns the status and the body of the response.
async fn bulk_retry(staff: &Staff, body: &Value) -> (u16, Value) {
    let response = staff.post("/api/admin/submissions/retry", body).await;
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn add_deleted_submission(stack: &Stack) {
    let deleted =
        diagflow_tests::seeding::submission(&stack.store, "ana1@example.org", "", None).await;
    diagflow_tests::seeding::end(
        &stack.store,
        deleted,
        diagflow_store::EndStatus::Failed,
        "loopai_failed",
    )
    .await;
    let entry = diagflow_tests::seeding::audit_entry(diagflow_store::Action::SubmissionDelete);
    stack.store.delete_submission(deleted.submission, &entry).await.expect("deleted");
}

async fn assert_filters_match(staff: &Staff, reason: &str) {
    for (filter, expected) in [
        (json!({}), 3),
        (json!({"status": ["completed"]}), 1),
        (json!({"status": ["failed", "completed"]}), 4),
        (json!({"error_code": "loopai_failed"}), 3),
        (json!({"error_code": "another"}), 0),
        (json!({"email": "ana1@example.org"}), 1),
        (json!({"email": "ANA*"}), 3),
        (json!({"email": "ana1*", "error_code": "loopai_failed"}), 1),
        (json!({"comments": "itch since"}), 0),
        (json!({"comments": "itch"}), 3),
        (json!({"stuck": true}), 1),
        (json!({"stuck": false}), 3),
        (json!({"deleted": "without"}), 3),
        (json!({"created_from": "2100-01-01"}), 0),
        (json!({"created_to": "2100-01-01"}), 3),
        (json!({"created_from": "2100-01-01T00:00:00Z"}), 0),
        (json!({"created_to": "2100-01-01T00:00:00Z"}), 3),
    ] {
        let body = json!({"filter": filter, "reason": reason, "dry_run": true});
        let (status, counted) = bulk_retry(staff, &body).await;
        assert_eq!((status, &counted["matched"]), (200, &json!(expected)), "{filter}: {counted}");
    }
}

async fn assert_filter_errors_are_reported(staff: &Staff, reason: &str) {
    for (wrong, field, code) in [
        (json!({"filter": {"status": ["pending"]}}), "filter.status", "status_invalid"),
        (json!({"filter": {"deleted": "with"}}), "filter.deleted", "deleted_invalid"),
        (json!({"filter": {"status": [""]}}), "filter.status", "status_invalid"),
        (json!({"filter": {"stuck": "yes"}}), "filter.stuck", "field_invalid"),
        (json!({"filter": {"email": ""}}), "filter.email", "email_invalid"),
        (json!({"filter": {"error_code": ""}}), "filter.error_code", "error_code_invalid"),
        (json!({"filter": {"comments": "at"}}), "filter.comments", "comments_invalid"),
        (json!({"filter": {"emial": "ana1@example.org"}}), "filter.emial", "field_unknown"),
        (json!({"filtre": {"email": "ana1@example.org"}}), "filtre", "field_unknown"),
    ] {
        let mut body = wrong;
        body["reason"] = reason.into();
        body["dry_run"] = true.into();
        let (status, refused) = bulk_retry(staff, &body).await;
        let fault = &refused["error"]["details"][0];
        assert_eq!((status, &fault["field"]), (400, &json!(field)), "{refused}");
        assert_eq!(fault["code"], code, "{refused}");
    }
}

#[tokio::test]
async fn a_bulk_retry_restarts_everything_its_filter_matches() {
    // The reconciler must not clear the state *stuck*, which the test sets itself.
    let options = StackOptions::default().with("RECONCILE_SWEEP_SECONDS", "3600");
    let stack = Stack::with(options.scenario("fail*3")).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    let mut all = Vec::new();
    for number in 0..4 {
        let email = format!("ana{number}@example.org");
        let accepted = stack.client.submit(&email, "itches", &[photos::retina()]).await;
        let status = if number < 3 { "failed" } else { "completed" };
        stack.wait_for_status(&accepted, status).await;
        all.push(accepted);
    }

    add_deleted_submission(&stack).await;
    assert!(stack.store.mark_stuck(id_of(&all[0]), "a_cause").await.expect("recorded"));
    let reason = "LoopAI was down";
    assert_filters_match(&staff, reason).await;
    assert_filter_errors_are_reported(&staff, reason).await;
    let (status, refused) = bulk_retry(&staff, &json!({"reason": reason, "expected": 2})).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("match_count_changed")));
    assert_eq!(refused["error"]["matched"], 3, "{refused}");
    assert_eq!(
        bulk_retry(&staff, &json!({"reason": reason})).await.0,
        400,
        "a bulk retry without the expected count was accepted"
    );

    let (status, done) = bulk_retry(&staff, &json!({"reason": reason, "expected": 3})).await;
    assert_eq!(status, 202, "{done}");
    assert_eq!((&done["changed"], &done["remaining"]), (&json!(3), &json!(0)));
    for accepted in &all {
        stack.wait_for_status(accepted, "completed").await;
        let each = if accepted == &all[3] { 1 } else { 2 };
        assert_eq!(executions(&stack, accepted).len(), each);
    }
    let lines = stack
        .database
        .texts("SELECT details FROM audit WHERE action = 'submissions_retry' AND details LIKE '%changed%'")
        .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let details: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!((&details["changed"], &details["reason"]), (&json!(3), &json!(reason)));
    let each = "SELECT CAST(COUNT(*) AS SIGNED) FROM audit WHERE action = 'submission_retry'";
    assert_eq!(stack.database.number(each).await, 3);
    stack.stop().await;
}

//! Tests in which staff find e-mails that patients did not receive and resend many of them at once.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{EndStatus, Role, SubmissionId};
use diagflow_tests::assertions::mails;
use diagflow_tests::responses::{body, members, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, photos, seeding};
use serde_json::{Value, json};

/// Stores a submission that has ended and sets the state of its e-mail.
async fn with_email(stack: &Stack, address: &str, email: &str) -> SubmissionId {
    let run = seeding::submission(&stack.store, address, "", None).await;
    seeding::end(&stack.store, run, EndStatus::Failed, "loopai_failed").await;
    let id = run.submission;
    let change = format!("UPDATE deliveries SET {email} WHERE submission_id = '{id}'");
    stack.database.execute(&change).await;
    id
}

async fn list(staff: &Staff, query: &str) -> (Vec<String>, Value) {
    let list = body(staff.get(&format!("/api/admin/submissions?{query}")).await).await;
    let mut emails = members(&list, "email");
    emails.sort();
    (emails, list["pagination"]["total"].clone())
}

/// Adds an overdue e-mail about a deleted submission, and an overdue e-mail with a new link to a submission whose latest
/// e-mail was sent.
async fn add_overdue_emails_that_do_not_count(stack: &Stack, sent: SubmissionId, overdue: &str) {
    let deleted = with_email(stack, "deleted@example.org", overdue).await;
    let delete = format!("UPDATE submissions SET deleted_at = NOW(6) WHERE id = '{deleted}'");
    stack.database.execute(&delete).await;
    let link = format!(
        "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, copy) \
         VALUES (UUID(), '{sent}', 0, 'link', 'planned', 0, NOW(6) - INTERVAL 3601 SECOND, 0)"
    );
    stack.database.execute(&link).await;
}

async fn assert_email_states_are_listed_and_exported(staff: &Staff) {
    let all = body(staff.get("/api/admin/submissions").await).await;
    for item in all["data"].as_array().expect("submissions") {
        let name = item["email"].as_str().and_then(|email| email.split('@').next());
        let expected = match name.expect("an address") {
            "resent" => json!("sent"),
            "retried" => Value::Null,
            name => json!(name),
        };
        assert_eq!(item["email_state"], expected, "{item}");
    }
    let path = "/api/admin/submissions/export?email_state=overdue,failed";
    let csv = staff.get(path).await.text().await.expect("a file");
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert!(lines[0].ends_with(",note,email_state,comments,result"), "{csv}");
    assert!(lines[1].contains("overdue@example.org") && lines[1].ends_with(",overdue,,"), "{csv}");
    assert!(lines[2].contains("failed@example.org") && lines[2].ends_with(",failed,,"), "{csv}");
}

/// Returns the number of overdue e-mails in the metrics and in the overview, which must match the filter.
async fn overdue_counts(stack: &Stack, staff: &Staff) -> (u64, u64) {
    let metrics = stack.client.get("/metrics").await.text().await.expect("metrics");
    let mut gauge =
        metrics.lines().filter_map(|line| line.strip_prefix("diagflow_emails_overdue "));
    let gauge = gauge.next().and_then(|count| count.parse().ok()).expect("a number");
    let overview = body(staff.get("/api/admin/overview").await).await;
    (gauge, overview["emails"]["overdue"].as_u64().expect("a number"))
}

#[tokio::test]
async fn submissions_are_filtered_counted_and_exported_by_the_state_of_their_latest_email() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    let settled = |status| format!("status = '{status}', settled_at = NOW(6)");
    let long_ago = "created_at = NOW(6) - INTERVAL 3601 SECOND";
    with_email(&stack, "failed@example.org", &settled("failed")).await;
    with_email(&stack, "unknown@example.org", &settled("unknown")).await;
    let sent = with_email(&stack, "sent@example.org", &settled("sent")).await;
    with_email(&stack, "sending@example.org", "status = 'sending'").await;
    with_email(&stack, "planned@example.org", "start_after = NULL").await;
    with_email(&stack, "overdue@example.org", long_ago).await;
    add_overdue_emails_that_do_not_count(&stack, sent, long_ago).await;
    // The e-mail failed, but a copy was sent later.
    let resent = with_email(&stack, "resent@example.org", &settled("failed")).await;
    let copy = format!(
        "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, \
         settled_at, copy) SELECT UUID(), submission_id, run_number, kind, 'sent', 1, created_at, \
         settled_at, 1 FROM deliveries WHERE submission_id = '{resent}'"
    );
    stack.database.execute(&copy).await;
    // The e-mail of the first run failed, and the second run has no e-mail yet.
    let retried = with_email(&stack, "retried@example.org", &settled("failed")).await;
    stack
        .database
        .execute(&format!("UPDATE submissions SET run_number = 2 WHERE id = '{retried}'"))
        .await;

    for (states, expected) in [
        ("failed", &["failed"][..]),
        ("unknown", &["unknown"]),
        ("overdue", &["overdue"]),
        ("planned", &["planned"]),
        ("sending", &["sending"]),
        ("failed,unknown,overdue", &["failed", "overdue", "unknown"]),
        ("failed&email_state=overdue&status=failed", &["failed", "overdue"]),
        ("failed&status=completed", &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|name| format!("{name}@example.org")).collect();
        let total = json!(expected.len());
        let found = list(&staff, &format!("email_state={states}")).await;
        assert_eq!(found, (expected, total), "{states}");
    }
    for wrong in ["sent", "lost", "failed,"] {
        let response = staff.get(&format!("/api/admin/submissions?email_state={wrong}")).await;
        let wrong: Value = response.json().await.expect("JSON");
        assert_eq!(wrong["error"]["details"][0]["code"], "email_state_invalid", "{wrong}");
    }

    assert_email_states_are_listed_and_exported(&staff).await;
    assert_eq!(overdue_counts(&stack, &staff).await, (1, 1));
    stack.stop().await;
}

/// Requests a bulk resend. Returns the status and the body of the response.
async fn bulk_resend(staff: &Staff, body: &Value) -> (u16, Value) {
    let response = staff.post("/api/admin/submissions/resend", body).await;
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn email_states(stack: &Stack, submission: &AcceptedSubmission) -> Vec<String> {
    let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    all.iter().map(|one| one.status.to_string()).collect()
}

async fn assert_invalid_requests_are_refused(stack: &Stack, staff: &Staff, reason: &str) {
    for (filter, field) in [
        (json!({"email_state": ["sent"]}), "filter.email_state"),
        (json!({"email_state": ["overdue"]}), "filter.email_state"),
        (json!({"status": ["pending"]}), "filter.status"),
    ] {
        let refused = json!({"filter": filter, "reason": reason, "dry_run": true});
        let (status, refused) = bulk_resend(staff, &refused).await;
        assert_eq!((status, &refused["error"]["details"][0]["field"]), (400, &json!(field)));
    }
    let (status, refused) = bulk_resend(staff, &json!({"reason": reason, "expected": 1})).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("match_count_changed")));
    let clinician = Staff::with_role(stack, Role::Clinician).await;
    let forbidden =
        clinician.post("/api/admin/submissions/resend", &json!({"reason": reason})).await;
    assert_eq!(refusal(forbidden).await, (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_bulk_resend_sends_the_failed_emails_again() {
    let stack = Stack::with(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let sent = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    eventually("the first e-mail to be sent", || async {
        (email_states(&stack, &sent).await == ["sent"]).then_some(())
    })
    .await;
    stack.mail.set_script([Rule::reply(Step::Rcpt, 550, "5.1.1 No")]).expect("a script");
    let mut failed = Vec::new();
    for number in 0..2 {
        let address = format!("ben{number}@example.org");
        failed.push(stack.client.submit(&address, "", &[photos::retina()]).await);
    }
    for submission in &failed {
        eventually("the e-mail to fail", || async {
            (email_states(&stack, submission).await == ["failed"]).then_some(())
        })
        .await;
    }
    stack.mail.set_script([]).expect("a script");
    let reason = "the mail server rejected all recipients";

    let (status, counted) = bulk_resend(&staff, &json!({"reason": reason, "dry_run": true})).await;
    assert_eq!((status, &counted["matched"]), (200, &json!(2)), "{counted}");
    let unknown =
        json!({"filter": {"email_state": ["unknown"]}, "reason": reason, "dry_run": true});
    assert_eq!(bulk_resend(&staff, &unknown).await.1["matched"], 0);
    assert_invalid_requests_are_refused(&stack, &staff, reason).await;

    let (status, done) = bulk_resend(&staff, &json!({"reason": reason, "expected": 2})).await;

    assert_eq!(status, 202, "{done}");
    assert_eq!((&done["changed"], &done["remaining"]), (&json!(2), &json!(0)), "{done}");
    for submission in &failed {
        eventually("the copy to be sent", || async {
            (email_states(&stack, submission).await == ["failed", "sent"]).then_some(())
        })
        .await;
        assert_eq!(mails(&stack, submission).len(), 1);
    }
    assert_eq!(email_states(&stack, &sent).await, ["sent"]);
    let each = "SELECT CAST(COUNT(*) AS SIGNED) FROM audit WHERE action = 'mail_resend' \
                AND details LIKE '%copy%'";
    assert_eq!(stack.database.number(each).await, 2);
    let whole =
        "SELECT details FROM audit WHERE action = 'mails_resend' AND details LIKE '%changed%'";
    let whole = stack.database.texts(whole).await;
    let details: Value = serde_json::from_str(&whole[0]).expect("JSON");
    assert_eq!((&details["changed"], &details["reason"]), (&json!(2), &json!(reason)));
    stack.stop().await;
}

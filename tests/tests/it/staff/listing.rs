//! Tests of the list of submissions: filters, order, pages, cursors and exact totals.

use diagflow_store::{EndStatus, Role, Status, SubmissionId};
use diagflow_tests::responses::{body, members, refusal};
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use futures::future::join_all;
use serde_json::Value;

/// Stores twelve submissions received one minute apart. Returns their ids, oldest first.
async fn twelve_submissions(stack: &Stack) -> Vec<SubmissionId> {
    let store = &stack.store;
    let mut ids = Vec::new();
    for number in 1..=12 {
        let email = format!("Ana_{number}@example.org");
        let comments = if number % 4 == 0 { "Redness of the left eye" } else { "it itches" };
        let run = seeding::submission(store, &email, comments, None).await;
        match number % 3 {
            0 => seeding::end(store, run, EndStatus::Failed, "loopai_failed").await,
            1 => seeding::complete(store, run).await,
            _ => {}
        }
        let id = run.submission;
        stack
            .database
            .execute(&format!(
                "UPDATE submissions SET created_at = '2026-11-10 12:{number:02}:00', \
                 updated_at = '2026-11-11 12:00:00' - INTERVAL {number} MINUTE WHERE id = '{id}'"
            ))
            .await;
        ids.push(id);
    }
    ids
}

fn numbers(list: &Value) -> Vec<u32> {
    let number = |email: String| email[4..].split('@').next()?.parse().ok();
    members(list, "email").into_iter().map(|email| number(email).expect("a number")).collect()
}

async fn listed(staff: &Staff, query: &str) -> (Vec<u32>, i64) {
    let list = body(staff.get(&format!("/api/admin/submissions?{query}")).await).await;
    (numbers(&list), list["pagination"]["total"].as_i64().expect("a total"))
}

#[tokio::test]
async fn a_list_matches_its_filters_and_has_the_exact_total() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let ids = twelve_submissions(&stack).await;
    let staff = Staff::with_role(&stack, Role::Clinician).await;

    let list = body(staff.get("/api/admin/submissions").await).await;
    assert_eq!(list["success"], true);
    assert_eq!(numbers(&list), (1..=12).rev().collect::<Vec<_>>());
    assert_eq!(list["data"][0]["id"], ids[11].to_string());
    assert_eq!(list["data"][0]["status"], "failed");
    assert_eq!(list["data"][0]["created_at"], "2026-11-10T12:12:00.000Z");
    let item = &list["data"][0];
    assert_eq!(
        (&item["consent_given"], &item["comments"]),
        (&true.into(), &"Redness of the left eye".into())
    );
    assert!(item["note"].is_null() && item["assignee"].is_null(), "{item}");
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let restricted = body(operator.get("/api/admin/submissions").await).await;
    assert_eq!(restricted["data"][0]["consent_given"], true);
    assert!(!restricted.to_string().contains("Redness"), "{restricted}");
    let page = &list["pagination"];
    assert_eq!(
        (&page["page"], &page["per_page"], &page["total"]),
        (&1.into(), &20.into(), &12.into())
    );
    assert!(page["next_cursor"].is_null() && page["prev_cursor"].is_null(), "{page}");

    for (query, rows, total) in [
        ("status=failed", vec![12, 9, 6, 3], 4),
        ("status=failed,pending&per_page=3", vec![12, 11, 9], 8),
        ("status=failed,pending&per_page=3&page=2", vec![8, 6, 5], 8),
        ("per_page=5&page=3", vec![2, 1], 12),
        ("page=&status=cancelled", vec![], 0),
        ("sort=created_at&per_page=2", vec![1, 2], 12),
        ("sort=-updated_at&per_page=2", vec![1, 2], 12),
        ("sort=updated_at&status=failed,completed&per_page=2", vec![12, 10], 8),
        ("email=ana_7@EXAMPLE.org", vec![7], 1),
        ("email=%E2%80%8Bana_7%EF%BC%A0example.org", vec![7], 1),
        ("email=ana_1*", vec![12, 11, 10, 1], 4),
        ("email=ana%251*", vec![], 0),
        ("comments=RED+eye", vec![12, 8, 4], 3),
        ("comments=red+itches", vec![], 0),
        ("comments=-red", vec![12, 8, 4], 3),
        ("error_code=loopai_failed&status=failed,pending&per_page=1", vec![12], 4),
        ("created_from=2026-11-10T12:04:00Z&created_to=2026-11-10T12:06:00Z", vec![5, 4], 2),
        ("created_to=2026-11-09", vec![], 0),
        ("created_from=2026-11-10&created_to=2026-11-10&status=failed", vec![12, 9, 6, 3], 4),
    ] {
        assert_eq!(listed(&staff, query).await, (rows, total), "{query}");
    }
    let admin = Staff::with_role(&stack, Role::Admin).await;
    assert_eq!(listed(&admin, "deleted=only").await, (vec![], 0));
    stack.stop().await;
}

/// Pages forward to the last page and back to the first one.
async fn assert_pages(staff: &Staff, query: &str, expected: &[u32]) {
    let path = format!("/api/admin/submissions?{query}");
    let mut pages = vec![body(staff.get(&path).await).await];
    while let Some(next) = pages.last().expect("a page")["pagination"]["next_cursor"].as_str() {
        let next = format!("{path}&cursor={next}");
        pages.push(body(staff.get(&next).await).await);
    }
    let forward: Vec<_> = pages.iter().flat_map(numbers).collect();
    assert_eq!(forward, expected, "{query}");

    let mut page = pages.pop().expect("the last page");
    assert!(
        page["pagination"]["page"].is_null(),
        "a page requested by cursor must not have a page number"
    );
    while let Some(earlier) = pages.pop() {
        let before = page["pagination"]["prev_cursor"].as_str().expect("a page before");
        page = body(staff.get(&format!("{path}&cursor={before}")).await).await;
        assert_eq!(numbers(&page), numbers(&earlier), "{query}");
    }
    assert!(
        page["pagination"]["prev_cursor"].is_null(),
        "the first page must not have a cursor for a previous page"
    );
}

#[tokio::test]
async fn cursors_page_forward_and_back() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let ids = twelve_submissions(&stack).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    // Submissions received at the same time are listed by id in descending order.
    let mut by_id: Vec<(SubmissionId, u32)> = ids.into_iter().zip(1..).collect();
    by_id.sort_by_key(|(id, _)| std::cmp::Reverse(id.to_string()));
    let by_id: Vec<u32> = by_id.into_iter().map(|(_, number)| number).collect();
    let finished: Vec<u32> = by_id.iter().copied().filter(|number| number % 3 != 2).collect();
    const ONE_TIME: &str = "UPDATE submissions SET created_at = '2026-11-10 12:00:00'";
    for (before, query, all) in [
        ("DO 0", "per_page=5", (1..=12).rev().collect::<Vec<_>>()),
        (
            "DO 0",
            "per_page=3&sort=updated_at&status=failed,completed",
            vec![12, 10, 9, 7, 6, 4, 3, 1],
        ),
        (ONE_TIME, "per_page=4&email=ana*", by_id.clone()),
        (ONE_TIME, "per_page=5&sort=created_at", by_id.iter().rev().copied().collect()),
        (ONE_TIME, "per_page=3&status=failed,completed", finished),
    ] {
        stack.database.execute(before).await;
        assert_pages(&staff, query, &all).await;
    }

    // A new submission does not shift the remaining pages.
    let in_turn = "UPDATE submissions SET created_at = \
        '2026-11-10 12:00:00' + INTERVAL SUBSTRING_INDEX(SUBSTRING(email, 5), '@', 1) MINUTE";
    stack.database.execute(in_turn).await;
    let first = body(staff.get("/api/admin/submissions?per_page=5").await).await;
    let next = first["pagination"]["next_cursor"].as_str().expect("a cursor");
    seeding::submission(&stack.store, "ana_99@example.org", "", None).await;
    let second = listed(&staff, &format!("per_page=5&cursor={next}")).await;
    assert_eq!(second, (vec![7, 6, 5, 4, 3], 13));

    let other_sort = format!("/api/admin/submissions?sort=created_at&cursor={next}");
    assert_eq!(refusal(staff.get(&other_sort).await).await, (400, "invalid_cursor".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn all_query_errors_are_reported_at_once_and_queries_are_audited() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Clinician).await;

    let wrong = "page=0&per_page=101&status=done&created_from=today&comments=my+eye&email=*&deleted=no\
        &sort=id&limit=1&error_code=a%20b&assignee=ana";
    let response = staff.get(&format!("/api/admin/submissions?{wrong}")).await;
    assert_eq!(response.status(), 400);
    let response: Value = response.json().await.expect("JSON");
    assert_eq!(response["error"]["code"], "invalid_query");
    let faults = response["error"]["details"].as_array().expect("faults");
    let mut fields: Vec<_> =
        faults.iter().map(|fault| fault["field"].as_str().expect("a field")).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "assignee",
            "comments",
            "created_from",
            "deleted",
            "email",
            "error_code",
            "limit",
            "page",
            "per_page",
            "sort",
            "status"
        ]
    );
    let too_far = staff.get("/api/admin/submissions?page=102&per_page=100").await;
    assert_eq!(refusal(too_far).await, (400, "page_too_far".to_owned()));
    assert_eq!(listed(&staff, "page=101&per_page=100").await, (vec![], 0));

    listed(&staff, "status=failed&comments=glaucoma").await;
    let lines = stack
        .database
        .audit_rows("SELECT CONCAT(action, details) FROM audit WHERE action = 'submissions_view' ORDER BY number DESC")
        .await;
    assert_eq!(
        lines[0],
        r#"submissions_view{"clinical":true,"filter":{"comment_terms":1,"status":"failed"}}"#
    );

    let patient = Staff::with_role(&stack, Role::Patient).await;
    let refused = patient.get("/api/admin/submissions").await;
    assert_eq!(refusal(refused).await, (403, "forbidden".to_owned()));
    let nobody = stack.client.get("/api/admin/submissions").await;
    assert_eq!(refusal(nobody).await, (401, "sign_in_required".to_owned()));
    stack.stop().await;
}

/// Returns the numbers of submissions by status and deletion, first from the counters and then by counting the rows.
async fn both_totals(stack: &Stack) -> (Vec<i64>, Vec<i64>) {
    let (mut counted, mut real) = (Vec::new(), Vec::new());
    for status in Status::ALL {
        for (deleted, flag) in [("IS NULL", 0), ("IS NOT NULL", 1)] {
            let counts = format!(
                "SELECT CAST(SUM(amount) AS SIGNED) FROM submission_counts \
                 WHERE status = '{status}' AND deleted = {flag}"
            );
            counted.push(stack.database.number(&counts).await);
            let rows = format!(
                "SELECT COUNT(*) FROM submissions WHERE status = '{status}' AND deleted_at {deleted}"
            );
            real.push(stack.database.number(&rows).await);
        }
    }
    (counted, real)
}

#[tokio::test]
async fn counters_are_exact_after_concurrent_transitions() {
    use diagflow_store::Action::{SubmissionDelete, SubmissionRestore};
    let stack = Stack::without_processes(StackOptions::default()).await;
    let store = &stack.store;
    let changes = (0..60).map(|number| async move {
        let run = seeding::submission(store, "ana@example.org", "", None).await;
        let id = run.submission;
        match number % 6 {
            0 => {}
            1 => {
                let (one, other) = (EndStatus::Failed, EndStatus::TimedOut);
                // Only one of the two concurrent transitions takes effect and is counted.
                futures::join!(
                    seeding::end(store, run, one, "a"),
                    seeding::end(store, run, other, "b"),
                );
            }
            2 => seeding::complete(store, run).await,
            3 => {
                seeding::end(store, run, EndStatus::Cancelled, "cancelled").await;
                let first = uuid::Uuid::new_v4().to_string();
                let reset = uuid::Uuid::new_v4().to_string();
                store.adopt(run, &reset, &first, Some("an execution")).await.expect("reset");
            }
            4 => {
                seeding::end(store, run, EndStatus::TimedOut, "timed_out").await;
                let entry = seeding::audit_entry(SubmissionDelete);
                futures::join!(
                    async { store.delete_submission(id, &entry).await.expect("deleted") },
                    async { store.delete_submission(id, &entry).await.expect("deleted") },
                );
            }
            _ => {
                seeding::complete(store, run).await;
                let entry = seeding::audit_entry(SubmissionDelete);
                store.delete_submission(id, &entry).await.expect("deleted");
                let entry = seeding::audit_entry(SubmissionRestore);
                store.restore_submission(id, &entry).await.expect("restored");
            }
        }
    });
    join_all(changes).await;

    let (counted, real) = both_totals(&stack).await;
    assert_eq!(counted, real);
    assert_eq!(real.iter().sum::<i64>(), 60);
    assert_eq!(real[9], 10, "ten submissions were deleted after a timeout: {real:?}");

    stack.database.execute("UPDATE submission_counts SET amount = amount + shard").await;
    assert_ne!(both_totals(&stack).await.0, real);
    store.recount_submissions().await.expect("recounted");
    assert_eq!(both_totals(&stack).await.0, real);
    stack.stop().await;
}

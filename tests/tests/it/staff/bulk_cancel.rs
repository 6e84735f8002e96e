//! Tests in which staff cancel all submissions that match a filter.

use diagflow_store::{EndStatus, Role, RunKey};
use diagflow_tests::responses::refusal;
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, photos, seeding};
use serde_json::{Value, json};

const PATH: &str = "/api/admin/submissions/cancel";
const REASON: &str = "duplicate import";

async fn bulk_cancel(staff: &Staff, filter: &Value, expected: Option<i64>) -> (u16, Value) {
    let mut request = json!({"filter": filter, "reason": REASON, "dry_run": expected.is_none()});
    if let Some(expected) = expected {
        request["expected"] = expected.into();
    }
    let response = staff.post(PATH, &request).await;
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

/// Submits photos and, without a worker, leaves two submissions open and ends a third.
async fn two_open_and_one_failed(stack: &Stack) -> [AcceptedSubmission; 3] {
    let submit = async |email| stack.client.submit(email, "", &[photos::retina()]).await;
    let all = [
        submit("ana@example.org").await,
        submit("ben@example.org").await,
        submit("eva@example.org").await,
    ];
    let failed = RunKey { submission: id_of(&all[2]), number: 1 };
    seeding::end(&stack.store, failed, EndStatus::Failed, "loopai_failed").await;
    all
}

async fn audit_entries(stack: &Stack, condition: &str) -> Vec<String> {
    let query = format!(
        "SELECT CONCAT_WS(' ', action, result, details) FROM audit WHERE {condition} ORDER BY number"
    );
    stack.database.audit_rows(&query).await
}

#[tokio::test]
async fn a_bulk_cancellation_cancels_each_open_submission_once() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let [ana, ben, eva] = two_open_and_one_failed(&stack).await;
    let all = json!({});

    let (status, counted) = bulk_cancel(&staff, &all, None).await;
    assert_eq!((status, &counted["matched"]), (200, &json!(2)), "{counted}");
    let (status, refused) = bulk_cancel(&staff, &all, Some(3)).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("match_count_changed")));
    assert_eq!(refused["error"]["matched"], 2, "{refused}");

    let (status, done) = bulk_cancel(&staff, &json!({"email": "ana*"}), Some(1)).await;
    assert_eq!(status, 202, "{done}");
    assert_eq!((&done["changed"], &done["remaining"]), (&json!(1), &json!(0)));
    // A submission whose run is still being cancelled is not counted again.
    let (status, done) = bulk_cancel(&staff, &all, Some(1)).await;
    assert_eq!((status, &done["changed"]), (202, &json!(1)), "{done}");
    let (_, counted) = bulk_cancel(&staff, &all, None).await;
    assert_eq!(counted["matched"], 0, "{counted}");

    let each = format!(r#"submission_cancel success {{"reason":"{REASON}"}}"#);
    for cancelled in [&ana, &ben] {
        let condition = format!("object_id = '{}'", cancelled.submission_id);
        let entries =
            audit_entries(&stack, &format!("{condition} AND action LIKE '%cancel'")).await;
        assert_eq!(entries, [each.as_str()]);
    }
    let of_eva = format!("object_id = '{}' AND action LIKE '%cancel'", eva.submission_id);
    assert_eq!(audit_entries(&stack, &of_eva).await, [""; 0]);
    let whole = audit_entries(&stack, "action = 'submissions_cancel'").await;
    let results: Vec<_> = whole.iter().filter_map(|entry| entry.split(' ').nth(1)).collect();
    let refused = "match_count_changed";
    assert_eq!(results, ["success", refused, "success", "success", "success"], "{whole:#?}");
    assert!(whole[3].contains(r#""changed":1"#), "{whole:#?}");
    stack.stop().await;
}

#[tokio::test]
async fn only_the_given_submissions_are_cancelled() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let [ana, _, eva] = two_open_and_one_failed(&stack).await;

    let ids = json!({"ids": [ana.submission_id, eva.submission_id]});
    let (_, counted) = bulk_cancel(&staff, &ids, None).await;
    assert_eq!(counted["matched"], 1, "{counted}");
    let (status, done) = bulk_cancel(&staff, &ids, Some(1)).await;
    assert_eq!((status, &done["changed"]), (202, &json!(1)), "{done}");
    let (_, counted) = bulk_cancel(&staff, &json!({}), None).await;
    assert_eq!(counted["matched"], 1, "{counted}");

    for (wrong, field, code) in [
        (json!({"ids": ["none"]}), "filter.ids", "field_invalid"),
        (json!({"status": ["failed"]}), "filter.status", "status_invalid"),
    ] {
        let (status, refused) = bulk_cancel(&staff, &wrong, None).await;
        let fault = &refused["error"]["details"][0];
        assert_eq!((status, &fault["field"], &fault["code"]), (400, &json!(field), &json!(code)));
    }
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let response = clinician.post(PATH, &json!({"reason": REASON, "dry_run": true})).await;
    assert_eq!(refusal(response).await, (403, "forbidden".to_owned()));
    stack.stop().await;
}

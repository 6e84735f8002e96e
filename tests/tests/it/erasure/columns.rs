//! Checks that an erasure leaves no personal data in any table. Every new column of a submission's tables must be added
//! to one of the two lists below.

use super::erase;
use diagflow_store::Role;
use diagflow_tests::assertions::wait_completed_once;
use diagflow_tests::database::Database;
use diagflow_tests::responses::body;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, Staff, photos};
use serde_json::json;

/// Columns whose values an erasure retains.
const RETAINED: &[(&str, &[&str])] = &[
    (
        "submissions",
        &[
            "id",
            "status",
            "consent_version",
            "consent_at",
            "run_number",
            "last_event",
            "error_code",
            "created_at",
            "updated_at",
            "finished_at",
            "deleted_at",
            "erased_at",
            "revision",
            "token_revoked_at",
            "language",
        ],
    ),
    (
        "events",
        &["id", "submission_id", "number", "name", "step", "status", "message", "created_at"],
    ),
    (
        "runs",
        &[
            "submission_id",
            "number",
            "temporal_run_id",
            "start_after",
            "loopai_agent_id",
            "loopai_execution_id",
            "created_at",
            "started_at",
            "requested_at",
            "finished_at",
            "cancel_requested_at",
            "cancel_after",
            "maybe_notified",
        ],
    ),
    (
        "deliveries",
        &[
            "id",
            "submission_id",
            "run_number",
            "kind",
            "status",
            "attempts",
            "error_code",
            "created_at",
            "sending_until",
            "settled_at",
            "copy",
            "start_after",
            "claim",
            "link_used_at",
        ],
    ),
    ("idempotency_keys", &["key_hash", "claim", "claimed_until", "submission_id", "expires_at"]),
    (
        "loopai_slots",
        &[
            "submission_id",
            "run_number",
            "queued_at",
            "turn_expires_at",
            "acquired_at",
            "held_until",
            "released_at",
            "failures",
            "own_failures",
            "failed_at",
        ],
    ),
    ("erasures", &["submission_id", "receipt", "created_at"]),
];

/// Columns whose values are removed by an erasure. The tables `files` and `results` are not listed because their rows
/// are deleted.
const REMOVED: &[(&str, &[&str])] = &[
    (
        "submissions",
        &[
            "email",
            "recipient",
            "comments",
            "error_detail",
            "submitted_by",
            "original_email",
            "note",
            "assignee",
            "stuck_since",
            "stuck_cause",
        ],
    ),
    ("deliveries", &["error_detail"]),
    ("idempotency_keys", &["body_hash"]),
];

#[tokio::test]
async fn every_column_is_either_removed_or_retained() {
    let database = Database::migrated().await;
    let columns = "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns \
                   WHERE table_schema = DATABASE() AND table_name IN (SELECT table_name FROM \
                   information_schema.columns WHERE table_schema = DATABASE() AND (column_name = \
                   'submission_id' OR table_name = 'submissions')) AND table_name NOT IN ('files', \
                   'results')";
    let mut found = database.texts(columns).await;
    found.sort();
    let mut known: Vec<_> = RETAINED
        .iter()
        .chain(REMOVED)
        .flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")))
        .collect();
    known.sort();
    assert_eq!(
        found, known,
        "add new columns to one of the lists, and remove personal data in store/src/erasure/remove.rs"
    );
    database.remove().await;
}

/// Returns all rows of a table as text.
async fn dump(database: &Database, table: &str) -> Vec<String> {
    let columns = format!(
        "SELECT CONCAT('COALESCE(CONVERT(`', column_name, '` USING utf8mb4), '''')') FROM \
         information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}'"
    );
    let columns = database.texts(&columns).await.join(", ");
    database.texts(&format!("SELECT CONCAT_WS('|', {columns}) FROM `{table}`")).await
}

#[tokio::test]
async fn no_table_contains_personal_data_after_an_erasure() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = photos::unique_retina();
    let key = "key-for-the-erasure";
    let sent = diagflow_tests::ApiClient::submission_body(
        "typo@example.org",
        "an unmistakable comment",
        std::slice::from_ref(&photo),
    );
    let response = stack.client.post(&sent, Some(key)).await.expect("a response");
    let accepted = diagflow_tests::client::expect_accepted(response).await;
    wait_completed_once(&stack, &accepted).await;
    let id = id_of(&accepted);
    let path = format!("/api/admin/submissions/{id}");
    let etag = admin.get(&path).await.headers()["etag"].to_str().expect("text").to_owned();
    let change =
        json!({"email": "ana@example.org", "reason": "mistyped", "note": "call back at noon"});
    let call = admin.request(reqwest::Method::PATCH, &path).header("If-Match", etag).json(&change);
    body(call.send().await.expect("a response")).await;
    body(admin.get("/api/admin/submissions?email=ana@example.org").await).await;
    stack
        .database
        .execute(&format!(
            "UPDATE submissions SET error_detail = 'an unmistakable failure', \
             stuck_since = NOW(6), stuck_cause = 'unmistakable'; \
             UPDATE deliveries SET error_detail = '550 <ana@example.org>'; \
             UPDATE results SET body = '{{\"summary\": \"an unmistakable finding\"}}'; \
             UPDATE files SET name = 'unmistakable.jpg' WHERE submission_id = '{id}'"
        ))
        .await;
    let recipient = stack.database.texts("SELECT recipient FROM submissions").await.remove(0);
    let body_hash = stack.database.texts("SELECT body_hash FROM idempotency_keys").await.remove(0);

    erase(&admin, &accepted).await;

    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";
    for table in stack.database.texts(tables).await {
        for row in dump(&stack.database, &table).await {
            let secrets = ["ana@", "typo@", "unmistakable", "call back", &recipient, &body_hash];
            let found: Vec<_> = secrets.iter().filter(|secret| row.contains(**secret)).collect();
            assert!(found.is_empty(), "{table} contains {found:?}: {row}");
        }
    }
    assert_eq!(stack.store.count_stuck().await.expect("a number"), 0);
    // A repeated request does not store the erased data again.
    let repeated = stack.client.post(&sent, Some(key)).await.expect("a response");
    assert_eq!(repeated.status(), 422);
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    stack.stop().await;
}

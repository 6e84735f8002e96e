//! Tests of the audit log and its tamper detection.

use diagflow_store::{Action, AuditCheckpoint, AuditFault, AuditFilter, AuditKey, Role};
use diagflow_tests::database::Database;
use diagflow_tests::seeding::audit_entry;
use diagflow_tests::stack::AUDIT_KEY;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, servers};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All columns of an audit entry except the number.
const COLUMNS: &str = "at, actor_kind, actor_id, actor_name, action, object_kind, object_id, result, \
     address, request_id, details, key_id, previous, hash";

/// Verifies the audit log and returns all faults.
async fn verify_log(stack: &Stack, mark: Option<&AuditCheckpoint>) -> Vec<AuditFault> {
    let key = AuditKey::new(&AUDIT_KEY.into());
    stack.store.verify_audit(&key, mark).await.expect("a response").faults
}

/// Creates at least `count` audit entries by reading the audit log.
async fn write_entries(staff: &Staff, count: usize) {
    for _ in 0..count {
        assert_eq!(staff.get("/api/v1/audit?limit=1").await.status(), 200);
    }
}

async fn copy_log(database: &Database) {
    database.execute("CREATE TABLE audit_copy AS SELECT * FROM audit").await;
    database.execute("CREATE TABLE head_copy AS SELECT * FROM audit_head").await;
}

/// Restores the audit log from the copy that `copy_log` made.
async fn restore_log(database: &Database) {
    database.execute("DELETE FROM audit; INSERT INTO audit SELECT * FROM audit_copy").await;
    database
        .execute("DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM head_copy")
        .await;
}

async fn assert_removed_entries_are_detected(stack: &Stack, mark: &AuditCheckpoint) {
    let database = &stack.database;
    database.execute("DELETE FROM audit WHERE number IN (3, 4)").await;
    assert_eq!(verify_log(stack, None).await, [AuditFault::Removed(3, 4)]);
    restore_log(database).await;

    // Removes an entry and renumbers all later ones, as if the removed entry had never existed.
    database.execute("DELETE FROM audit WHERE number = 3").await;
    database.execute("UPDATE audit SET number = number - 1 WHERE number > 3 ORDER BY number").await;
    let found = verify_log(stack, None).await;
    assert!(found.contains(&AuditFault::Unlinked(3)), "{found:?}");
    assert!(found.contains(&AuditFault::Changed(3)), "{found:?}");
    assert!(matches!(found.last(), Some(AuditFault::HeadMismatch { .. })), "{found:?}");
    restore_log(database).await;

    database.execute(&format!("DELETE FROM audit WHERE number = {}", mark.number)).await;
    assert!(matches!(verify_log(stack, None).await[..], [AuditFault::HeadMismatch { .. }]));
    restore_log(database).await;

    // Removes the last entry and points the head at the entry before it. Only a checkpoint stored outside the database
    // reveals the removal.
    database.execute(&format!("DELETE FROM audit WHERE number = {}", mark.number)).await;
    let last = mark.number - 1;
    let back = format!(
        "UPDATE audit_head SET number = {last}, hash = (SELECT hash FROM audit WHERE number = {last})"
    );
    database.execute(&back).await;
    assert_eq!(verify_log(stack, None).await, []);
    assert_eq!(verify_log(stack, Some(mark)).await, [AuditFault::CheckpointMismatch(mark.clone())]);
    restore_log(database).await;
}

async fn assert_inserted_entries_are_detected(stack: &Stack, mark: &AuditCheckpoint) {
    let database = &stack.database;
    // Inserts an entry after the last one.
    let row =
        format!("SELECT number + 1, {COLUMNS} FROM audit_copy WHERE number = {}", mark.number);
    database.execute(&format!("INSERT INTO audit (number, {COLUMNS}) {row}")).await;
    assert!(matches!(verify_log(stack, None).await[..], [AuditFault::HeadMismatch { .. }]));
    restore_log(database).await;

    // Inserts entries with unused numbers before the first one.
    for number in [0, -5, i64::MIN] {
        let row = format!("SELECT {number}, {COLUMNS} FROM audit_copy WHERE number = 3");
        database.execute(&format!("INSERT INTO audit (number, {COLUMNS}) {row}")).await;
    }
    let inserted = [i64::MIN, -5, 0].map(AuditFault::Inserted);
    assert_eq!(verify_log(stack, None).await, inserted);
    restore_log(database).await;
}

#[tokio::test]
async fn every_kind_of_tampering_is_detected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    write_entries(&admin, 6).await;
    assert_eq!(verify_log(&stack, None).await, []);
    let mark = stack.store.audit_head().await.expect("a response");
    assert!(mark.number >= 8, "{mark:?}");
    copy_log(&stack.database).await;

    assert_removed_entries_are_detected(&stack, &mark).await;
    assert_inserted_entries_are_detected(&stack, &mark).await;
    assert_eq!(verify_log(&stack, Some(&mark)).await, [], "the log was not restored completely");
    stack.stop().await;
}

/// A column of an audit entry and a new value for it, as SQL. Every column occurs at least once.
const CHANGES: &[(&str, &str)] = &[
    ("at", "at + INTERVAL 1 MICROSECOND"),
    ("at", "'0000-00-00 00:00:00'"),
    ("actor_kind", "'operator'"),
    ("actor_kind", "'nothing'"),
    ("actor_id", "UUID()"),
    ("actor_id", "'nobody'"),
    ("actor_name", "'eve@example.org'"),
    ("action", "'sign_out'"),
    ("action", "'nothing'"),
    ("object_kind", "'api_key'"),
    ("object_kind", "'nothing'"),
    ("object_id", "'somebody'"),
    ("result", "'forbidden'"),
    ("address", "'192.0.2.1'"),
    ("request_id", "UUID()"),
    ("details", "'{\"more\":1}'"),
    ("details", "'nothing'"),
    ("hash", "REPEAT('0', 64)"),
    ("previous", "REPEAT('0', 64)"),
];

#[tokio::test]
async fn a_change_to_any_column_is_detected_and_the_entry_is_still_listed() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let given = json!({"email": "nobody@example.org", "password": "nothing"});
    assert_eq!(admin.post("/api/v1/auth/login", &given).await.status(), 401);
    write_entries(&admin, 1).await;
    let database = &stack.database;
    let number = async |condition: &str| {
        let query = format!("SELECT CAST(MAX(number) AS SIGNED) FROM audit WHERE {condition}");
        database.number(&query).await
    };
    let of_admin = number("actor_id IS NOT NULL AND action = 'sign_in'").await;
    let of_nobody = number("actor_id IS NULL AND action = 'sign_in'").await;
    database.execute("CREATE TABLE audit_copy AS SELECT * FROM audit").await;
    let of_admin = CHANGES
        .iter()
        .copied()
        .chain([("actor_id", "NULL"), ("actor_id", "''")])
        .map(|it| (of_admin, it));
    let of_nobody = [("actor_id", "''"), ("actor_id", "UUID()")].map(|it| (of_nobody, it));
    for (number, (column, value)) in of_admin.chain(of_nobody) {
        // An empty SQL mode allows any value to be stored.
        let change = format!(
            "SET sql_mode = ''; UPDATE audit SET {column} = {value} WHERE number = {number}"
        );
        database.execute(&change).await;

        let found = verify_log(&stack, None).await;

        assert!(found.contains(&AuditFault::Changed(number)), "{column} = {value}: {found:?}");
        let elsewhere =
            |fault: &&AuditFault| !matches!(fault, AuditFault::Changed(n) if *n == number);
        let others: Vec<_> = found.iter().filter(elsewhere).cloned().collect();
        match column {
            "hash" => assert_eq!(others, [AuditFault::Unlinked(number + 1)]),
            "previous" => assert_eq!(others, [AuditFault::Unlinked(number)]),
            _ => assert_eq!(others, [], "{column} = {value}"),
        }
        let listed =
            stack.store.find_audit_entries(&AuditFilter::default(), 500).await.expect("entries");
        assert!(listed.iter().any(|entry| entry.number == number), "{column} = {value}");
        database.execute("DELETE FROM audit; INSERT INTO audit SELECT * FROM audit_copy").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_entry_inserted_at_the_end_is_detected_during_concurrent_writes() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    write_entries(&admin, 2).await;
    let ended = Arc::new(AtomicBool::new(false));
    let (store, until) = (stack.store.clone(), ended.clone());
    let writer = tokio::spawn(async move {
        while !until.load(Ordering::Relaxed) {
            store.append_audit_entry(&audit_entry(Action::AuditView)).await.expect("written");
        }
    });
    let first = stack.store.audit_head().await.expect("a response").number;
    eventually("several concurrent entries to be written", || async {
        let end = stack.store.audit_head().await.expect("a response").number;
        (end > first + 10).then_some(())
    })
    .await;

    for _ in 0..5 {
        assert_eq!(
            verify_log(&stack, None).await,
            [],
            "the verification reports concurrent entries as faults"
        );
    }
    let copy = format!("SELECT 1000000000, {COLUMNS} FROM audit WHERE number = 2");
    stack.database.execute(&format!("INSERT INTO audit (number, {COLUMNS}) {copy}")).await;
    for _ in 0..5 {
        let found = verify_log(&stack, None).await;
        let [AuditFault::HeadMismatch { found, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(found.number, 1_000_000_000);
    }
    ended.store(true, Ordering::Relaxed);
    writer.await.expect("written");
    stack.stop().await;
}

#[tokio::test]
async fn entries_are_filtered_by_actor_object_and_request() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let other = Staff::with_role(&stack, Role::Operator).await;
    assert_eq!(other.get("/api/v1/audit").await.status(), 403);

    let find = async |query: &str| -> Value {
        let response = admin.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        response.json().await.expect("JSON")
    };
    let of_the_other = find(&format!("actor_id={}", other.id)).await;
    let entries = of_the_other["data"].as_array().expect("entries");
    assert_eq!(entries.len(), 2, "{of_the_other}");
    assert_eq!(entries[0]["action"], "access");
    assert_eq!(entries[0]["result"], "forbidden");
    assert_eq!(entries[0]["details"]["route"], "GET /api/v1/audit");
    assert_eq!(entries[0]["address"], "127.0.0.1");
    assert_eq!(entries[1]["action"], "sign_in");
    assert_eq!(entries[1]["actor"], other.email.as_str());
    let refused = entries[0]["request_id"].as_str().expect("a request");
    let of_it = find(&format!("request_id={refused}&result=forbidden")).await;
    assert_eq!(of_it["data"].as_array().expect("entries").len(), 1);
    assert_eq!(find("to=2020-01-01").await["data"], Value::Array(Vec::new()));

    let first = find("limit=1").await;
    let next = find(&format!("limit=1&before={}", first["next_before"])).await;
    assert_eq!(
        next["data"][0]["number"].as_i64().expect("a number") + 1,
        first["data"][0]["number"].as_i64().expect("a number")
    );

    let wrong = admin.get("/api/v1/audit?action=nothing&limit=0&object_id=%C3%A4&what=1").await;
    assert_eq!(wrong.status(), 400);
    let body: Value = wrong.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "invalid_query", "{body}");
    let field_errors = body["error"]["details"].as_array().expect("details");
    let fields: Vec<_> = field_errors.iter().map(|fault| fault["field"].as_str()).collect();
    assert_eq!(fields, [Some("action"), Some("object_id"), Some("limit"), Some("what")]);
    stack.stop().await;
}

/// Runs `diagflow audit verify`. Returns the exit code and the output.
async fn verify(stack: &Stack, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(servers::diagflow());
    command.args(["audit", "verify"]).args(arguments).env_clear();
    command.env("DATABASE_URL", stack.database.url()).env("AUDIT_KEY", AUDIT_KEY);
    let output = command.output().await.expect("runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test]
async fn audit_verify_proves_the_end_of_the_log_only_with_a_checkpoint() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    write_entries(&admin, 2).await;
    let mark = stack.store.audit_head().await.expect("a response").to_string();

    let (code, text) = verify(&stack, &["--checkpoint", &mark]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no entry was changed, removed or inserted"), "{text}");
    assert!(text.contains(&mark), "the output does not contain the next checkpoint: {text}");
    let (code, text) = verify(&stack, &[]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the end of the log could not be verified"), "{text}");
    assert!(text.contains(&mark), "the output does not contain the checkpoint: {text}");

    stack.database.execute("UPDATE audit SET result = 'forbidden' WHERE number = 2").await;
    for arguments in [&[][..], &["--checkpoint", &mark]] {
        let (code, text) = verify(&stack, arguments).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.starts_with("entry 2 was changed"), "{text}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_api_logs_the_checkpoint() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    write_entries(&admin, 2).await;
    stack.api.take().expect("running").stop().await;
    let mark = stack.store.audit_head().await.expect("a response").to_string();

    stack.start_api().await;

    eventually("the checkpoint in the process log", || async {
        let log = stack.api.as_ref().expect("running").log();
        log.lines()
            .any(|line| line.contains("audit checkpoint") && line.contains(&mark))
            .then_some(())
    })
    .await;
    stack.stop().await;
}

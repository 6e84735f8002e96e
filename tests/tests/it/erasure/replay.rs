//! Tests of the erasure log, which is used to repeat erasures after a restore.

use super::{erase, request_erasure, run, stored_files, text};
use diagflow_store::Role;
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{Stack, StackOptions, Staff, photos};
use tempfile::TempDir;

/// Copies the main tables of submissions. The patterns `from` and `to` contain `*` in place of the table's name, as in
/// `backup_*`.
async fn copy_tables(stack: &Stack, from: &str, to: &str) {
    for table in ["submissions", "files", "runs", "results", "events", "deliveries", "erasures"] {
        let (from, to) = (from.replace('*', table), to.replace('*', table));
        let copy = format!(
            "SET FOREIGN_KEY_CHECKS = 0; CREATE TABLE IF NOT EXISTS {to} LIKE {from}; \
             DELETE FROM {to}; INSERT INTO {to} SELECT * FROM {from}; SET FOREIGN_KEY_CHECKS = 1"
        );
        stack.database.execute(&copy).await;
    }
}

#[tokio::test]
async fn erasures_are_repeated_in_a_restored_database() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let photo = photos::unique_retina();
    let before =
        stack.client.submit("ana@example.org", "itches", std::slice::from_ref(&photo)).await;
    let path = stored_files(&stack, &before).await.remove(0);
    copy_tables(&stack, "*", "backup_*").await;
    let later_photo = photos::unique_retina();
    let after =
        stack.client.submit("ben@example.org", "", std::slice::from_ref(&later_photo)).await;
    let later_path = stored_files(&stack, &after).await.remove(0);
    let receipt = erase(&admin, &before).await["receipt"].clone();
    erase(&admin, &after).await;
    assert_eq!(std::fs::read_to_string(&log).expect("a log").lines().count(), 2);

    // Restores the database and both files. The second submission is missing from the backup, but its file is not.
    copy_tables(&stack, "backup_*", "*").await;
    std::fs::write(&path, &photo.bytes).expect("written");
    std::fs::write(&later_path, &later_photo.bytes).expect("written");
    assert_eq!(stack.client.status(&before).await.expect("a response")["success"], true);
    let command = ["after-restore", "--temporal", "restored", "--reason", "a test"];
    let (succeeded, output) = run(&stack, &command).await;

    assert!(succeeded && output.contains("erased again: 1,"), "{output}");
    let status = stack.client.get_status(&before).await.expect("a response");
    assert_eq!(refusal(status).await, (410, "erased".to_owned()));
    assert!(!path.exists() && !later_path.exists(), "restored bytes were not removed");
    // `after-restore` has ended all sessions.
    let admin = admin.sign_in_again(&stack).await;
    let again = body(request_erasure(&admin, &before.submission_id).await).await;
    assert_eq!(again["receipt"], receipt, "the original receipt was not returned");
    let (succeeded, output) = run(&stack, &["erase", "replay", text(&log)]).await;
    assert!(succeeded && output.contains("erased again: 0,"), "{output}");
    assert_eq!(std::fs::read_to_string(&log).expect("a log").lines().count(), 2);
    stack.stop().await;
}

#[tokio::test]
async fn only_erasures_with_a_signed_receipt_are_repeated() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let erased = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let other = stack.client.submit("ben@example.org", "", &[photos::unique_retina()]).await;
    erase(&admin, &erased).await;
    let line = std::fs::read_to_string(&log).expect("a log");
    let forged = line.replace(&erased.submission_id, &other.submission_id);
    std::fs::write(&log, format!("{forged}not a receipt\n{line}")).expect("written");

    let (succeeded, output) = run(&stack, &["erase", "replay", text(&log)]).await;

    assert!(!succeeded && output.contains("could not be repeated: 2"), "{output}");
    assert!(output.contains("line 2 is not a receipt"), "{output}");
    assert_eq!(stack.client.status(&other).await.expect("a response")["success"], true);
    stack.stop().await;
}

#[tokio::test]
async fn after_restore_fails_if_the_erasure_log_is_missing() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let command = ["after-restore", "--temporal", "restored", "--reason", "a test"];

    let (succeeded, output) = run(&stack, &command).await;

    assert!(!succeeded, "{output}");
    assert!(output.contains(text(&log)) && output.contains("--no-erasure-log"), "{output}");
    let restores = "SELECT COUNT(*) FROM audit WHERE action = 'backup_restore'";
    assert_eq!(stack.database.number(restores).await, 0, "the command changed the database");
    let (succeeded, output) = run(&stack, &[&command[..], &["--no-erasure-log"]].concat()).await;
    assert!(succeeded, "{output}");
    assert_eq!(stack.database.number(restores).await, 1);
    stack.stop().await;
}

//! Tests of erasures that wait for another transaction or find another upload's reservation.

use super::{erase, stored_files, text};
use diagflow_store::Role;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, photos};
use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use tempfile::TempDir;

#[tokio::test]
async fn a_deadlock_does_not_write_a_second_receipt() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let mut other = stack.database.connect().await;
    // The server aborts the transaction with fewer changes, which is the erasure.
    other
        .batch_execute(
            "CREATE TABLE changes (n INT); START TRANSACTION; \
             INSERT INTO changes SELECT ORDINAL_POSITION FROM information_schema.columns LIMIT 1000; \
             SELECT * FROM audit_head FOR UPDATE",
        )
        .await
        .expect("a locked audit log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    let erasing = {
        let (admin, accepted) = (admin.clone(), accepted.clone());
        tokio::spawn(async move { erase(&admin, &accepted).await })
    };
    eventually("the receipt to be written", || async { (lines() > 0).then_some(()) }).await;

    let lock =
        format!("SELECT id FROM submissions WHERE id = '{}' FOR UPDATE", accepted.submission_id);
    other.batch_execute(&lock).await.expect("the erasure to be aborted");
    other.batch_execute("ROLLBACK").await.expect("released locks");
    let erased = erasing.await.expect("a finished task");

    assert_eq!((erased["changed"].as_bool(), lines()), (Some(true), 1));
    let logged = std::fs::read_to_string(&log).expect("a log");
    let logged: serde_json::Value = serde_json::from_str(&logged).expect("a receipt");
    assert_eq!(erased["receipt"], logged);
    stack.stop().await;
}

#[tokio::test]
async fn a_receipt_reports_a_file_as_shared_that_was_submitted_again_during_the_erasure() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let later = stack.client.submit("ben@example.org", "", &[photos::unique_retina()]).await;
    let digest = stack.store.files(id_of(&accepted)).await.expect("files")[0].sha256;
    let mut upload = stack.database.connect().await;
    // The same photo is being stored for another submission, whose transaction has not been committed.
    upload
        .batch_execute(&format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION; \
             INSERT INTO blob_reservations (sha256, reserved_at) VALUES ('{digest}', NOW(6)); \
             UPDATE files SET sha256 = '{digest}' WHERE submission_id = '{}'",
            later.submission_id
        ))
        .await
        .expect("an upload");
    let erasing = {
        let (admin, accepted) = (admin.clone(), accepted.clone());
        tokio::spawn(async move { erase(&admin, &accepted).await })
    };
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() \
                   AND info LIKE 'INSERT IGNORE INTO%blob_reservations%'";
    eventually("the erasure to wait for the upload", || async {
        (stack.database.number(waiting).await > 0).then_some(())
    })
    .await;
    upload.batch_execute("COMMIT").await.expect("a commit");

    let erased = erasing.await.expect("a finished task");

    assert_eq!(erased["receipt"]["removed"]["files"][0]["shared"], true);
    stack.stop().await;
}

#[tokio::test]
async fn a_file_reserved_by_a_failed_upload_is_reported_as_pending_until_it_is_deleted() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let file = stored_files(&stack, &accepted).await.remove(0);
    let digest = stack.store.files(id_of(&accepted)).await.expect("files")[0].sha256;
    // Another patient uploads the same photo, but the submission is not stored.
    stack.store.reserve_blobs(&[digest]).await.expect("reserved");

    let first = erase(&admin, &accepted).await;
    assert_eq!((&first["changed"], &first["pending_files"]), (&json!(true), &json!(1)), "{first}");
    assert!(file.exists(), "the upload lost its file");

    stack.database.execute("UPDATE blob_reservations SET reserved_at = '1970-01-01'").await;
    let second = erase(&admin, &accepted).await;
    assert_eq!((&second["changed"], &second["pending_files"]), (&json!(false), &json!(0)));
    assert!(!file.exists());
    stack.stop().await;
}

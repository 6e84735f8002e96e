//! Tests of erasures while the erasure log cannot be written.

use super::{erase, request_erasure, stored_files, text};
use diagflow_store::Role;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::responses::refusal;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, photos};
use diesel::sql_types::BigInt;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::time::timeout;

#[tokio::test]
async fn nothing_is_erased_if_the_log_cannot_be_written() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("missing").join("erasures.jsonl");
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let files = stored_files(&stack, &accepted).await;

    let refused = request_erasure(&admin, &accepted.submission_id).await;

    assert_eq!(refusal(refused).await, (503, "unavailable".to_owned()));
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["success"], true);
    assert!(files[0].exists());
    std::fs::create_dir(folder.path().join("missing")).expect("a folder");
    assert_eq!(erase(&admin, &accepted).await["changed"], true);
    assert!(!files[0].exists());
    stack.stop().await;
}

/// Creates a named pipe and fills it. The next write blocks until the pipe is read.
async fn full_pipe(path: &Path) -> pipe::Sender {
    let status = Command::new("mkfifo").arg(path).status().expect("a finished command");
    assert!(status.success());
    let pipe = pipe::OpenOptions::new().read_write(true).open_sender(path).expect("a pipe");
    pipe.writable().await.expect("an empty pipe");
    while pipe.try_write(&[b'\n'; 4096]).is_ok() {}
    pipe
}

async fn empty(path: &Path) {
    let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path).expect("a pipe");
    pipe.readable().await.expect("a full pipe");
    while pipe.try_read(&mut [0; 4096]).is_ok() {}
}

#[tokio::test]
async fn a_hanging_log_does_not_use_up_the_database_connections() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let pipe = full_pipe(&log).await;
    let options = StackOptions::default()
        .with("ERASURE_LOG", text(&log))
        .with("LOG_LEVEL", "info,diagflow_store=debug")
        .with("DATABASE_POOL_SIZE", "4");
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let mut erasures = Vec::new();
    let mut submissions = Vec::new();
    for number in 0..5 {
        let email = format!("{number}@example.org");
        submissions.push(stack.client.submit(&email, "", &[photos::unique_retina()]).await);
    }
    for id in submissions.iter().map(|submission| submission.submission_id.clone()) {
        let admin = admin.clone();
        erasures.push(tokio::spawn(async move { request_erasure(&admin, &id).await }));
    }
    let locked = async || {
        let free = "SELECT id FROM submissions FOR UPDATE SKIP LOCKED";
        submissions.len() - stack.database.texts(free).await.len()
    };
    eventually("an erasure to hang", || async { (locked().await > 0).then_some(()) }).await;
    let api = stack.api.as_ref().expect("a running process");
    eventually("the other erasures to wait for their turn", || async {
        (api.log().matches("waiting for a turn to write the erasure log").count() == 5)
            .then_some(())
    })
    .await;

    for submission in &submissions {
        assert_eq!(stack.client.status(submission).await.expect("a response")["success"], true);
    }
    assert_eq!(locked().await, 1, "only one erasure may wait for the log in a transaction");

    // A pipe cannot be synced to disk, so the erasures fail as soon as the write succeeds.
    empty(&log).await;
    for erasure in erasures {
        let refused = erasure.await.expect("a finished task");
        assert_eq!(refusal(refused).await, (503, "unavailable".to_owned()));
    }
    for submission in &submissions {
        assert_eq!(stack.client.status(submission).await.expect("a response")["success"], true);
    }
    drop(pipe);
    stack.stop().await;
}

/// Waits until an erasure has changed the last rows before it writes to the log. Its transaction is still open.
async fn wait_until_data_is_removed(connection: &mut AsyncMysqlConnection) {
    let uncommitted = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
    connection.batch_execute(uncommitted).await.expect("an isolation level");
    let wait = async {
        loop {
            let rows = diesel::dsl::sql::<BigInt>("SELECT COUNT(*) FROM blob_reservations");
            if rows.get_result::<i64>(connection).await.expect("a number") > 0 {
                break;
            }
        }
    };
    timeout(LIMIT, wait).await.expect("the erasure did not remove the data in time");
}

#[tokio::test]
async fn a_hanging_log_does_not_block_other_submissions() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let pipe = full_pipe(&log).await;
    let stack = Stack::api_only(StackOptions::default().with("ERASURE_LOG", text(&log))).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await;
    let erasing = {
        let (admin, id) = (admin.clone(), accepted.submission_id.clone());
        tokio::spawn(async move { request_erasure(&admin, &id).await })
    };
    let mut other = stack.database.connect().await;
    wait_until_data_is_removed(&mut other).await;

    for table in ["submission_counts", "audit_head", "loopai_slots"] {
        let lock = format!("SELECT * FROM {table} FOR UPDATE NOWAIT");
        let locked = other.batch_execute(&lock).await;
        assert!(locked.is_ok(), "the erasure holds locks in {table}: {locked:?}");
    }

    empty(&log).await;
    let refused = erasing.await.expect("a finished task");
    assert_eq!(refusal(refused).await, (503, "unavailable".to_owned()));
    assert_eq!(stack.client.status(&accepted).await.expect("a response")["status"], "pending");
    drop(pipe);
    stack.stop().await;
}

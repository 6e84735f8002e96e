//! Tests of database server errors and of server limits that are too small.

use super::{LARGE_LIMITS, Records, new_submission};
use diagflow_store::{
    Consent, EndStatus, FailureCode, MAX_RESULT_BYTES, RunEnd, Sha256, TransitionOutcome,
};
use diagflow_tests::eventually;
use diesel_async::SimpleAsyncConnection;

#[tokio::test]
async fn data_that_a_column_cannot_store_is_rejected_permanently() {
    let records = Records::new().await;
    let mut new = new_submission("ana@example.org");
    new.consent = Consent { version: "a version that is too long for its column".repeat(3) };
    records.store.reserve_blobs(&[Sha256::of(b"a photo")]).await.expect("reserved");

    let error = records.store.create_submission(&new, LARGE_LIMITS, None).await;

    let error = error.expect_err("a rejected submission");
    assert_eq!(error.kind(), "database: Unknown, error 1406");
    assert_eq!(error.failure_code(), FailureCode::RecordsTooLarge);
    assert!(error.is_rejection() && !error.is_retryable());
    records.remove().await;
}

#[tokio::test]
async fn a_transaction_is_retried_after_a_deadlock() {
    let records = Records::new().await;
    let run = records.submission().await;
    // The server aborts the transaction with fewer changes, which is the store's.
    let mut other = records.database.connect().await;
    let heavy = "CREATE TABLE ballast (n INT); START TRANSACTION; \
         INSERT INTO ballast SELECT seq FROM seq_1_to_2000; \
         SELECT COUNT(*) FROM submission_counts FOR UPDATE";
    other.batch_execute(heavy).await.expect("locked counters");
    let end =
        RunEnd { status: EndStatus::Failed, code: "a_code".to_owned(), detail: String::new() };
    let store = records.store.clone();
    let ending = tokio::spawn(async move { store.end_run(run, &end).await });
    let waiting = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = '{}' AND info LIKE 'UPDATE%counts%'",
        records.database.name()
    );
    eventually("the transaction to wait for the counters", || async {
        (records.database.number(&waiting).await > 0).then_some(())
    })
    .await;

    other.batch_execute("SELECT COUNT(*) FROM submissions FOR UPDATE").await.expect("a deadlock");
    other.batch_execute("ROLLBACK").await.expect("released locks");

    let outcome = ending.await.expect("a finished task").expect("no error");
    assert_eq!(outcome, TransitionOutcome::Applied(()));
    records.remove().await;
}

#[tokio::test]
async fn the_limits_of_the_server_are_compared_with_the_largest_result() {
    let records = Records::new().await;
    let limits = records.store.too_small_limits(MAX_RESULT_BYTES).await.expect("a response");
    assert_eq!(limits, []);
    let limits = records.store.too_small_limits(1 << 30).await.expect("a response");
    let names: Vec<_> = limits.iter().map(|limit| limit.variable.as_str()).collect();
    assert_eq!(names[0], "max_allowed_packet");
    assert!(matches!(names[1], "innodb_log_file_size" | "innodb_redo_log_capacity"), "{names:?}");
    records.remove().await;
}

//! Tests of the retention period.

use super::stored_files;
use diagflow_store::{AuditKey, BlobStore, EndStatus, Eraser, ReceiptKey, RetentionPeriod};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, eventually, photos, seeding};
use std::num::NonZeroU32;

/// Sends three submissions: one that ended 31 days ago, one that ended 29 days ago, and one that is still open.
async fn three_submissions(stack: &Stack) -> [AcceptedSubmission; 3] {
    [
        ended_submission(stack, 31, Some(31)).await,
        ended_submission(stack, 29, Some(29)).await,
        submit(stack).await,
    ]
}

async fn submit(stack: &Stack) -> AcceptedSubmission {
    stack.client.submit("ana@example.org", "", &[photos::unique_retina()]).await
}

/// Sends a submission that ended `days` ago. Its e-mail was sent `email_days` ago, or has not been sent yet.
async fn ended_submission(stack: &Stack, days: u32, email_days: Option<u32>) -> AcceptedSubmission {
    let accepted = submit(stack).await;
    let id = id_of(&accepted);
    let run = diagflow_store::RunKey { submission: id, number: 1 };
    seeding::end(&stack.store, run, EndStatus::Failed, "a").await;
    let ended = format!(
        "UPDATE submissions SET finished_at = NOW(6) - INTERVAL {days} DAY WHERE id = '{id}'"
    );
    stack.database.execute(&ended).await;
    if let Some(days) = email_days {
        let sent = format!(
            "UPDATE deliveries SET status = 'sent', settled_at = NOW(6) - INTERVAL {days} DAY \
             WHERE submission_id = '{id}'"
        );
        stack.database.execute(&sent).await;
    }
    accepted
}

/// Stores an e-mail with a new link that was sent yesterday, and one that has not been sent yet.
async fn add_links(stack: &Stack, submission: &AcceptedSubmission) {
    for (copy, status, settled_at) in
        [(0, "sent", "NOW(6) - INTERVAL 1 DAY"), (1, "planned", "NULL")]
    {
        let link = format!(
            "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, settled_at, \
             copy) VALUES (UUID(), '{}', 0, 'link', '{status}', 1, NOW(6) - INTERVAL 1 DAY, {settled_at}, {copy})",
            submission.submission_id
        );
        stack.database.execute(&link).await;
    }
}

async fn erased(stack: &Stack) -> Vec<String> {
    stack.database.texts("SELECT id FROM submissions WHERE erased_at IS NOT NULL").await
}

#[tokio::test]
async fn only_submissions_older_than_the_retention_period_are_erased() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let without_period = stack.run_command(&["erase", "--retention", "--dry-run"]).await;
    assert!(!without_period.status.success(), "the command must fail without a retention period");
    let [old, _, _] = three_submissions(&stack).await;
    let files = stored_files(&stack, &old).await;
    stack.set("RETENTION_DAYS", "30");

    let dry_run = stack.run_command(&["erase", "--retention", "--dry-run"]).await;
    let listed = String::from_utf8(dry_run.stdout).expect("text");
    let ids: Vec<_> = listed.lines().filter_map(|line| line.split_once(" failed ")).collect();
    assert_eq!(ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [old.submission_id.as_str()]);
    assert_eq!(erased(&stack).await, Vec::<String>::new(), "the dry run erased a submission");

    stack.api.take().expect("a running process").stop().await;
    stack.start_api().await;
    eventually("the old submission to be erased", || async {
        (!erased(&stack).await.is_empty() && !files[0].exists()).then_some(())
    })
    .await;
    assert_eq!(erased(&stack).await, [old.submission_id.as_str()]);
    let entries = "SELECT CONCAT_WS(' ', actor_kind, actor_name, object_id, result) FROM audit \
                   WHERE action = 'submission_erase'";
    let expected = format!("service retention {} success", old.submission_id);
    assert_eq!(stack.database.texts(entries).await, [expected]);
    stack.stop().await;
}

#[tokio::test]
async fn the_command_erases_expired_submissions_once() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let [old, _, _] = three_submissions(&stack).await;
    stack.set("RETENTION_DAYS", "30");
    for expected in ["erased submissions: 1\n", "erased submissions: 0\n"] {
        let output = stack.run_command(&["erase", "--retention"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    assert_eq!(erased(&stack).await, [old.submission_id.as_str()]);
    stack.stop().await;
}

#[tokio::test]
async fn the_retention_period_begins_when_the_last_email_has_been_sent() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    ended_submission(&stack, 40, None).await;
    ended_submission(&stack, 40, Some(29)).await;
    let expired = ended_submission(&stack, 40, Some(31)).await;
    stack.set("RETENTION_DAYS", "30");

    let dry_run = stack.run_command(&["erase", "--retention", "--dry-run"]).await;
    let output = stack.run_command(&["erase", "--retention"]).await;

    let listed = String::from_utf8_lossy(&dry_run.stdout);
    assert!(listed.ends_with("ago: 1\n"), "{listed}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(erased(&stack).await, [expired.submission_id.as_str()]);
    stack.stop().await;
}

#[tokio::test]
async fn new_links_do_not_extend_the_retention_period() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let expired = ended_submission(&stack, 40, Some(31)).await;
    add_links(&stack, &expired).await;
    stack.set("RETENTION_DAYS", "30");

    let output = stack.run_command(&["erase", "--retention"]).await;

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(erased(&stack).await, [expired.submission_id.as_str()]);
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_that_cannot_be_erased_does_not_stop_the_others() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let broken = ended_submission(&stack, 41, Some(41)).await;
    let other = ended_submission(&stack, 40, Some(40)).await;
    let receipt = format!(
        "INSERT INTO erasures (submission_id, receipt, created_at) \
         VALUES ('{}', 'not a receipt', NOW(6))",
        broken.submission_id
    );
    stack.database.execute(&receipt).await;
    stack.set("RETENTION_DAYS", "30");

    let output = stack.run_command(&["erase", "--retention"]).await;

    assert!(!output.status.success(), "the command did not report the failed erasure");
    assert_eq!(erased(&stack).await, [other.submission_id.as_str()]);
    stack.stop().await;
}

#[tokio::test]
async fn all_expired_submissions_are_erased_in_batches_even_if_a_whole_batch_fails() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let mut broken = Vec::new();
    for _ in 0..2 {
        let submission = ended_submission(&stack, 41, Some(41)).await;
        broken.push(submission.submission_id);
    }
    for id in &broken {
        let receipt = format!(
            "INSERT INTO erasures (submission_id, receipt, created_at) \
             VALUES ('{id}', 'not a receipt', NOW(6))"
        );
        stack.database.execute(&receipt).await;
    }
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(ended_submission(&stack, 40, Some(40)).await.submission_id);
    }
    // All of them ended at the same time, so their order depends on their ids.
    let same_time = "UPDATE submissions SET finished_at = (SELECT * FROM (SELECT MIN(finished_at) \
                     FROM submissions WHERE id NOT IN (SELECT submission_id FROM erasures)) AS \
                     earliest) WHERE id NOT IN (SELECT submission_id FROM erasures)";
    stack.database.execute(same_time).await;
    let storage = stack.setting("STORAGE_URL").parse().expect("an address");
    let blobs = BlobStore::open(&storage).expect("a store");
    let (receipt_key, audit_key) =
        (ReceiptKey::new(&"a key".into()), AuditKey::new(&"a key".into()));
    let eraser = Eraser::new(stack.store.clone(), blobs, receipt_key, audit_key, None);
    let period = RetentionPeriod::of_days(NonZeroU32::new(30).expect("a number"));
    let mut batches = Vec::new();

    let outcome = eraser
        .erase_expired(period, 2, &eraser.retention_entry(), |erased| batches.push(erased))
        .await;

    assert!(outcome.is_err(), "the failed erasures were not reported");
    assert_eq!(batches, [0, 2, 2, 1]);
    let mut erased = erased(&stack).await;
    erased.sort();
    others.sort();
    assert_eq!(erased, others);
    stack.stop().await;
}

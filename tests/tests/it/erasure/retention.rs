//! Tests of the retention period.

use super::stored_files;
use diagflow_store::EndStatus;
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, eventually, photos, seeding};

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

//! Tests of the queries for the overview, with known rows.

use super::Records;
use diagflow_store::{
    HourlyCount, OldestWaiting, OutcomeCounts, RunKey, Status, SubmissionId, TimeToResult,
    UnsettledEmails,
};
use std::time::Duration;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Stores a submission and changes its row.
async fn submission_with(records: &Records, changes: &str) -> SubmissionId {
    let id = records.submission().await.submission;
    records.database.execute(&format!("UPDATE submissions SET {changes} WHERE id = '{id}'")).await;
    id
}

/// Stores a submission that ended `hours` ago.
async fn ended(records: &Records, status: Status, code: Option<&str>, hours: u32) {
    let code = code.map_or("NULL".to_owned(), |code| format!("'{code}'"));
    let ended = format!("finished_at = NOW(6) - INTERVAL {hours} HOUR");
    submission_with(records, &format!("status = '{status}', error_code = {code}, {ended}")).await;
}

#[tokio::test]
async fn submissions_are_counted_in_the_hour_in_which_they_were_received() {
    let records = Records::new().await;
    for hours in [0, 2, 2, 46, 49] {
        let received = format!("created_at = NOW(6) - INTERVAL {hours} HOUR");
        submission_with(&records, &received).await;
    }

    let counts = records.store.submissions_per_hour(48).await.expect("counts");

    assert_eq!(counts.len(), 48);
    let hours_between =
        |pair: &[HourlyCount]| (pair[1].hour.micros() - pair[0].hour.micros()) / 3_600_000_000;
    assert!(counts.windows(2).all(|pair| hours_between(pair) == 1), "{counts:?}");
    // The database formats the expected hours because an hour may have passed since the rows were stored.
    let hour = "DATE_FORMAT(created_at, '%Y-%m-%dT%H:00:00.000Z')";
    let expected = format!(
        "SELECT CONCAT({hour}, ' ', COUNT(*)) FROM submissions \
         WHERE created_at > NOW() - INTERVAL 48 HOUR GROUP BY {hour} ORDER BY {hour}"
    );
    let received = counts.iter().filter(|count| count.received > 0);
    let received: Vec<_> =
        received.map(|count| format!("{} {}", count.hour, count.received)).collect();
    assert_eq!(received, records.database.texts(&expected).await);
    assert_eq!(received.len(), 3);
    records.remove().await;
}

#[tokio::test]
async fn states_are_counted_without_deleted_submissions() {
    let records = Records::new().await;
    for _ in 0..2 {
        records.submission().await;
    }
    let deleted = "status = 'failed', deleted_at = NOW(6)";
    submission_with(&records, deleted).await;
    submission_with(&records, "status = 'failed'").await;
    records.store.recount_submissions().await.expect("counted");

    let counts = records.store.count_by_status().await.expect("counts");

    let states: Vec<_> = counts.iter().map(|(status, _)| *status).collect();
    assert_eq!(states, Status::ALL);
    let counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [(Status::Pending, 2), (Status::Failed, 1)]);
    records.remove().await;
}

#[tokio::test]
async fn outcomes_are_counted_by_cause_within_a_day_and_within_a_week() {
    let records = Records::new().await;
    let refused = Some("loopai_refused");
    for (status, code, hours) in [
        (Status::Completed, None, 1),
        (Status::Completed, None, 30),
        (Status::Failed, Some("loopai_failed"), 2),
        (Status::Failed, refused, 72),
        (Status::Failed, refused, 73),
        (Status::TimedOut, Some("deadline_exceeded"), 23),
        (Status::TimedOut, Some("deadline_exceeded"), 25),
        (Status::TimedOut, Some("deadline_exceeded"), 26),
        (Status::Cancelled, Some("cancelled"), 1),
        (Status::Failed, Some("run_orphaned"), 8 * 24),
        (Status::Completed, None, 8 * 24),
    ] {
        ended(&records, status, code, hours).await;
    }

    let outcomes = records.store.outcomes().await.expect("outcomes");

    let counts = |completed, failures: &[(&str, i64)]| OutcomeCounts {
        completed,
        failures: failures.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect(),
    };
    assert_eq!(outcomes.last_day, counts(1, &[("deadline_exceeded", 1), ("loopai_failed", 1)]));
    let week = [("deadline_exceeded", 3), ("loopai_refused", 2), ("loopai_failed", 1)];
    assert_eq!(outcomes.last_week, counts(2, &week));
    assert_eq!((outcomes.last_day.failed(), outcomes.last_week.failed()), (2, 6));
    records.remove().await;
}

#[tokio::test]
async fn the_time_to_a_result_includes_only_first_runs_of_the_last_day() {
    let records = Records::new().await;
    assert_eq!(records.store.time_to_result(100).await.expect("a response"), None);
    // The later a submission ended, the longer it took.
    for (hours, took, run) in
        [(4, 10, 1), (3, 20, 1), (2, 30, 1), (1, 100, 1), (1, 9_000, 2), (25, 9_000, 1)]
    {
        let changes = format!(
            "status = 'completed', run_number = {run}, \
             finished_at = NOW(6) - INTERVAL {hours} HOUR, \
             created_at = finished_at - INTERVAL {took} SECOND"
        );
        submission_with(&records, &changes).await;
    }

    let times = records.store.time_to_result(100).await.expect("a response");
    let newest = records.store.time_to_result(2).await.expect("a response");

    let expected = TimeToResult { submissions: 4, median: seconds(20), p95: seconds(100) };
    assert_eq!(times, Some(expected));
    let expected = TimeToResult { submissions: 2, median: seconds(30), p95: seconds(100) };
    assert_eq!(newest, Some(expected));
    records.remove().await;
}

#[tokio::test]
async fn the_oldest_waiting_submission_is_the_one_with_the_oldest_run() {
    let records = Records::new().await;
    assert_eq!(records.store.oldest_waiting().await.expect("a response"), None);
    let age_run = async |RunKey { submission, number }, hours| {
        let age = format!("created_at = NOW(6) - INTERVAL {hours} HOUR");
        let run = format!("submission_id = '{submission}' AND number = {number}");
        records.database.execute(&format!("UPDATE runs SET {age} WHERE {run}")).await;
    };
    // A retry starts to wait when it is requested, however old its submission is.
    let retried = records.submission().await;
    let old = "created_at = NOW(6) - INTERVAL 9 DAY";
    let retried_row = format!("UPDATE submissions SET {old} WHERE id = '{}'", retried.submission);
    records.database.execute(&retried_row).await;
    let (oldest, processing) = (records.submission().await, records.submission().await);
    age_run(oldest, 2).await;
    age_run(processing, 3).await;
    records.store.mark_run_started(oldest, "a run").await.expect("started");
    records.store.start_processing(processing, 1, "execution").await.expect("processing");

    let found = records.store.oldest_waiting().await.expect("a response");

    let runs = records.store.runs(oldest.submission).await.expect("runs");
    let expected = OldestWaiting {
        submission: oldest.submission,
        since: runs[0].created_at,
        started_at: runs[0].started_at,
    };
    assert_eq!(found, Some(expected));
    assert!(expected.started_at.is_some());
    records.remove().await;
}

#[tokio::test]
async fn only_the_latest_email_of_each_submission_counts_as_unsettled() {
    let records = Records::new().await;
    let email = async |submission: SubmissionId, status: &str, hours: u32, copy: u32| {
        let statement = format!(
            "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, copy) \
             VALUES (UUID(), '{submission}', 1, 'result', '{status}', 1, NOW(6) - INTERVAL {hours} HOUR, {copy})"
        );
        records.database.execute(&statement).await;
    };
    for (status, hours) in [
        ("planned", 2),
        ("sending", 2),
        ("planned", 0),
        ("failed", 2),
        ("failed", 3),
        ("unknown", 2),
        ("failed", 8 * 24),
        ("sent", 2),
    ] {
        email(records.submission().await.submission, status, hours, 0).await;
    }
    let resent = records.submission().await.submission;
    email(resent, "failed", 2, 0).await;
    email(resent, "sent", 1, 1).await;
    let retried = submission_with(&records, "run_number = 2").await;
    email(retried, "failed", 2, 0).await;
    let deleted = submission_with(&records, "deleted_at = NOW(6)").await;
    email(deleted, "unknown", 2, 0).await;
    let deleted = submission_with(&records, "deleted_at = NOW(6)").await;
    email(deleted, "planned", 2, 0).await;

    let emails = records.store.unsettled_emails().await.expect("a response");

    assert_eq!(emails, UnsettledEmails { overdue: 1, failed: 2, unknown: 1 });
    records.remove().await;
}

#[tokio::test]
async fn only_failures_at_the_mail_server_count_as_its_failures() {
    let records = Records::new().await;
    let email = async |status: &str, code: &str, minutes: u32| {
        let submission = records.submission().await.submission;
        let statement = format!(
            "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, error_code) \
             VALUES (UUID(), '{submission}', 1, 'result', '{status}', 1, NOW(6) - INTERVAL {minutes} MINUTE, '{code}')"
        );
        records.database.execute(&statement).await;
    };
    for code in ["superseded", "submission_deleted", "email_address_invalid", "given_up"] {
        email("failed", code, 1).await;
    }
    email("unknown", "sender_lost", 1).await;
    email("unknown", "restored", 1).await;
    email("planned", "emails_paused", 1).await;
    assert_eq!(records.store.email_contact().await.expect("a response").failed, None);

    email("failed", "smtp_rejected", 3).await;
    email("planned", "smtp_unreachable", 2).await;
    email("unknown", "smtp_no_response", 4).await;

    let failed = records.store.email_contact().await.expect("a response").failed;
    let code = failed.and_then(|(_, code)| code);
    assert_eq!(code.as_deref(), Some("smtp_unreachable"));
    records.remove().await;
}

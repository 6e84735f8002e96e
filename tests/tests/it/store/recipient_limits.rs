//! Tests of the limits on submissions per recipient.

use super::{Records, create, new_submission};
use diagflow_store::{
    Action, CreateOutcome, DeleteOutcome, EndStatus, ExceededLimit, RecipientLimits, RunKey, Store,
    SubmissionChange, UpdateOutcome,
};
use diagflow_tests::seeding::{audit_entry, end};
use futures::future::join_all;

const OPEN: RecipientLimits = RecipientLimits { max_open: Some(2), max_per_day: None };
const PER_DAY: RecipientLimits = RecipientLimits { max_open: None, max_per_day: Some(2) };

/// Tries to store a submission. Returns its first run or the limit that it would exceed.
async fn submit(
    store: &Store,
    email: &str,
    limits: RecipientLimits,
) -> Result<RunKey, ExceededLimit> {
    let new = new_submission(email);
    match create(store, &new, limits).await {
        CreateOutcome::Created => Ok(RunKey { submission: new.id, number: 1 }),
        CreateOutcome::LimitExceeded(limit) => Err(limit),
        CreateOutcome::ClaimLost => panic!("there is no claim"),
    }
}

#[tokio::test]
async fn open_submissions_of_a_recipient_are_limited() {
    let records = Records::new().await;
    let store = &records.store;
    let first = submit(store, "ana@example.org", OPEN).await.expect("stored");
    submit(store, "Ana+tag@EXAMPLE.org", OPEN).await.expect("stored");

    assert_eq!(submit(store, "ana@example.org", OPEN).await, Err(ExceededLimit::Open));
    submit(store, "ben@example.org", OPEN).await.expect("another recipient");
    submit(store, "ana@example.org", RecipientLimits::default()).await.expect("without limits");
    store.start_processing(first, 1, "an execution").await.expect("started");
    assert_eq!(submit(store, "ana@example.org", OPEN).await, Err(ExceededLimit::Open));

    end(store, first, EndStatus::Failed, "a_code").await;
    assert_eq!(
        submit(store, "ana@example.org", OPEN).await,
        Err(ExceededLimit::Open),
        "two submissions are still open"
    );
    records.database.execute("UPDATE submissions SET status = 'completed'").await;
    submit(store, "ana@example.org", OPEN).await.expect("no submission is open");
    records.remove().await;
}

#[tokio::test]
async fn submissions_of_a_recipient_within_a_day_are_limited() {
    let records = Records::new().await;
    let store = &records.store;
    let first = submit(store, "ana@example.org", PER_DAY).await.expect("stored");
    submit(store, "ana@example.org", PER_DAY).await.expect("stored");
    let age = |hours: u32| {
        format!(
            "UPDATE submissions SET created_at = NOW(6) - INTERVAL {hours} HOUR WHERE id = '{}'",
            first.submission
        )
    };
    records.database.execute(&age(20)).await;

    let limit = submit(store, "ana@example.org", PER_DAY).await.expect_err("the third");

    let ExceededLimit::PerDay { retry_after } = limit else { panic!("{limit:?}") };
    assert!(
        (14_380..=14_400).contains(&retry_after.as_secs()),
        "the next submission must be allowed in 4 hours: {retry_after:?}"
    );
    // Deleted submissions still count, because they also caused e-mails to the recipient.
    end(store, first, EndStatus::Failed, "a_code").await;
    let entry = audit_entry(Action::SubmissionDelete);
    let deleted = store.delete_submission(first.submission, &entry).await.expect("a response");
    assert_eq!(deleted, DeleteOutcome::Done);
    assert!(
        submit(store, "ana@example.org", PER_DAY).await.is_err(),
        "a deleted submission was not counted"
    );

    records.database.execute(&age(25)).await;
    submit(store, "ana@example.org", PER_DAY)
        .await
        .expect("the first submission is too old to count");
    records.remove().await;
}

#[tokio::test]
async fn concurrent_submissions_cannot_exceed_a_limit() {
    let records = Records::new().await;
    let other_process = records.another_store().await;

    for (email, limits) in [("ana@example.org", OPEN), ("ben@example.org", PER_DAY)] {
        let attempts = (0..24).map(|number| {
            let store = if number % 2 == 0 { &records.store } else { &other_process };
            submit(store, email, limits)
        });
        let stored = join_all(attempts).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(stored, 2, "{limits:?}");
    }
    drop(other_process);
    records.remove().await;
}

#[tokio::test]
async fn a_submission_with_a_corrected_address_counts_towards_the_new_recipient() {
    let records = Records::new().await;
    let store = &records.store;
    let run = submit(store, "anna@example.org", PER_DAY).await.expect("stored");
    let change = SubmissionChange {
        email: Some("ana@example.org".parse().expect("an address")),
        ..SubmissionChange::default()
    };

    let entry = audit_entry(Action::SubmissionUpdate);
    let updated = store.update_submission(run.submission, Some(0), &change, &[], &entry).await;

    assert!(matches!(updated.expect("a response"), UpdateOutcome::Updated(_)));
    submit(store, "ana@example.org", PER_DAY).await.expect("the second");
    assert!(
        submit(store, "ana@example.org", PER_DAY).await.is_err(),
        "the corrected address was not counted"
    );
    submit(store, "anna@example.org", PER_DAY).await.expect("the first");
    submit(store, "anna@example.org", PER_DAY).await.expect("the second");
    records.remove().await;
}

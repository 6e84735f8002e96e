//! Tests in which staff correct an e-mail address while an e-mail is due, is being sent or has been settled.

use super::Records;
use diagflow_store::{
    Action, DeliveryAttempt, DeliveryId, DeliveryState, DeliveryStatus, EndStatus, FailureCode,
    FailureReason, ResendOutcome, RunEnd, Store, SubmissionChange, SubmissionId, UpdateOutcome,
};
use diagflow_tests::seeding::audit_entry;
use std::time::Duration;

const CLAIM: Duration = Duration::from_secs(60);
const NEW: &str = "ana.new@example.org";

/// Stores a failed submission. Returns the submission and its e-mail.
async fn failed(records: &Records) -> (SubmissionId, DeliveryId) {
    let run = records.submission().await;
    let ending =
        RunEnd { status: EndStatus::Failed, code: "a_code".to_owned(), detail: String::new() };
    records.store.end_run(run, &ending).await.expect("recorded");
    let due = records.store.deliveries(run.submission).await.expect("deliveries").remove(0);
    (run.submission, due.id)
}

/// Corrects the address of a submission that has never been updated, and requests a resend.
async fn correct(store: &Store, submission: SubmissionId) -> Option<ResendOutcome> {
    let email = Some(NEW.parse().expect("an address"));
    let change = SubmissionChange { email, resend: true, ..SubmissionChange::default() };
    let entry = audit_entry(Action::SubmissionUpdate);
    let outcome = store.update_submission(submission, Some(0), &change, &[], &entry).await;
    match outcome.expect("a response") {
        UpdateOutcome::Updated(updated) => {
            assert_eq!(updated.submission.email.as_str(), NEW);
            updated.resent
        }
        other => panic!("{other:?}"),
    }
}

async fn planned(store: &Store, delivery: DeliveryId) -> DeliveryAttempt {
    match store.delivery_state(delivery).await.expect("a response") {
        DeliveryState::Planned(_, attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

async fn claimed(store: &Store, delivery: DeliveryId) -> DeliveryAttempt {
    let attempt = planned(store, delivery).await;
    store.claim_delivery(&attempt, CLAIM).await.expect("a response").expect("claimed")
}

/// Returns the copy number and the status of each e-mail.
async fn states(store: &Store, submission: SubmissionId) -> Vec<(i32, DeliveryStatus)> {
    let all = store.deliveries(submission).await.expect("deliveries");
    all.iter().map(|one| (one.copy, one.status)).collect()
}

#[tokio::test]
async fn an_attempt_that_has_read_the_previous_address_cannot_send() {
    let records = Records::new().await;
    let store = &records.store;
    let (submission, email) = failed(&records).await;
    let before = planned(store, email).await;

    let resent = correct(store, submission).await;

    assert_eq!(
        resent,
        Some(ResendOutcome::InProgress(email)),
        "a copy was planned even though the due e-mail goes to the new address"
    );
    assert_eq!(store.claim_delivery(&before, CLAIM).await.expect("a response"), None);
    let next = planned(store, email).await;
    assert!(store.claim_delivery(&next, CLAIM).await.expect("a response").is_some());
    assert_eq!(states(store, submission).await, [(0, DeliveryStatus::Sending)]);
    records.remove().await;
}

#[tokio::test]
async fn an_email_that_is_being_sent_to_the_previous_address_is_copied_and_not_repeated() {
    let records = Records::new().await;
    let store = &records.store;
    let (submission, email) = failed(&records).await;
    let sending = claimed(store, email).await;

    let resent = correct(store, submission).await;

    let Some(ResendOutcome::Planned(copy)) = resent else { panic!("{resent:?}") };
    let deferred = FailureReason::new(FailureCode::SmtpDeferred, "");
    assert!(store.release_delivery(&sending, deferred).await.expect("a response"));
    let state = store.delivery_state(email).await.expect("a response");
    assert_eq!(
        state,
        DeliveryState::Settled(DeliveryStatus::Failed),
        "the e-mail to the previous address must not be due any longer"
    );
    let all = store.deliveries(submission).await.expect("deliveries");
    assert_eq!(all[0].error_code.as_deref(), Some("superseded"));
    planned(store, copy).await;
    records.remove().await;
}

#[tokio::test]
async fn an_outcome_is_recorded_even_if_the_address_was_corrected_in_the_meantime() {
    let records = Records::new().await;
    let store = &records.store;
    let (submission, email) = failed(&records).await;
    let sending = claimed(store, email).await;
    assert!(matches!(correct(store, submission).await, Some(ResendOutcome::Planned(_))));

    let settled = store.settle_delivery(&sending, DeliveryStatus::Sent, None).await;

    assert!(settled.expect("a response"));
    let expected = [(0, DeliveryStatus::Sent), (1, DeliveryStatus::Planned)];
    assert_eq!(states(store, submission).await, expected);
    records.remove().await;
}

#[tokio::test]
async fn nothing_is_resent_if_no_email_is_due() {
    let records = Records::new().await;
    let store = &records.store;
    let run = records.submission().await;

    assert_eq!(correct(store, run.submission).await, None);

    let expected = "SELECT COUNT(DISTINCT recipient) FROM submissions";
    let before = records.database.number(expected).await;
    records.submission().await;
    let after = records.database.number(expected).await;
    assert_eq!((before, after), (1, 2), "the submission must count towards its new address");
    let submission = store.submission(run.submission).await.expect("read").expect("found");
    let original = submission.original_email.expect("the address that the patient entered");
    assert_eq!(original.as_str(), "ana@example.org");
    records.remove().await;
}

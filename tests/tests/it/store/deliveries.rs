//! Tests of concurrent attempts to send the same e-mail.

use super::Records;
use diagflow_store::{
    Action, Adoption, Delivery, DeliveryAttempt, DeliveryState, DeliveryStatus, EndStatus,
    FailureCode, FailureReason, RetryOutcome, RunEnd, RunKey, Store,
};
use diagflow_tests::eventually;
use diagflow_tests::seeding::audit_entry;
use diesel_async::SimpleAsyncConnection;
use std::time::Duration;

const LONG_CLAIM: Duration = Duration::from_secs(60);
const EXPIRED_CLAIM: Duration = Duration::ZERO;

/// Fails a run. Returns the run and its pending e-mail.
async fn due(records: &Records) -> (RunKey, Delivery) {
    let run = records.submission().await;
    let ending =
        RunEnd { status: EndStatus::Failed, code: "a_code".to_owned(), detail: String::new() };
    records.store.end_run(run, &ending).await.expect("recorded");
    (run, only(&records.store, run).await)
}

async fn only(store: &Store, run: RunKey) -> Delivery {
    store.deliveries(run.submission).await.expect("deliveries").remove(0)
}

async fn planned(store: &Store, delivery: &Delivery) -> DeliveryAttempt {
    match store.delivery_state(delivery.id).await.expect("a response") {
        DeliveryState::Planned(_, attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_one_of_two_attempts_may_send() {
    let records = Records::new().await;
    let store = &records.store;
    let (_, delivery) = due(&records).await;
    let (one, other) = (planned(store, &delivery).await, planned(store, &delivery).await);

    let (one, other) = tokio::join!(
        store.claim_delivery(&one, LONG_CLAIM),
        store.claim_delivery(&other, LONG_CLAIM)
    );

    let claims = [one.expect("a response"), other.expect("a response")];
    assert_eq!(claims.iter().flatten().count(), 1, "{claims:?}");
    records.remove().await;
}

#[tokio::test]
async fn a_failed_claim_does_not_affect_the_attempt_that_holds_the_claim() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let (one, other) = (planned(store, &delivery).await, planned(store, &delivery).await);
    let claimed =
        store.claim_delivery(&other, LONG_CLAIM).await.expect("a response").expect("claimed");

    // The first attempt got no response to its claim. It withdraws the claim, which may or may not have been written.
    let withdrawn =
        store.withdraw_claim(&one, FailureReason::new(FailureCode::RecordsUnavailable, "")).await;

    assert!(
        !withdrawn.expect("a response"),
        "the attempt changed an e-mail that another attempt has claimed"
    );
    assert_eq!(only(store, run).await.status, DeliveryStatus::Sending);
    assert!(store.settle_delivery(&claimed, DeliveryStatus::Sent, None).await.expect("a response"));
    records.remove().await;
}

#[tokio::test]
async fn a_claim_can_be_withdrawn_before_and_after_it_is_written() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let written = planned(store, &delivery).await;
    store.claim_delivery(&written, LONG_CLAIM).await.expect("a response").expect("claimed");
    let reason = FailureReason::new(FailureCode::RecordsUnavailable, "");

    assert!(store.withdraw_claim(&written, reason).await.expect("a response"));
    assert_eq!(only(store, run).await.status, DeliveryStatus::Planned);

    let late_attempt = planned(store, &delivery).await;
    assert!(store.withdraw_claim(&late_attempt, reason).await.expect("a response"));
    let claimed = store.claim_delivery(&late_attempt, LONG_CLAIM).await.expect("a response");
    assert_eq!(claimed, None, "a claim was written after it had been withdrawn");
    let due = only(store, run).await;
    assert_eq!((due.status, due.attempts), (DeliveryStatus::Planned, 2));
    records.remove().await;
}

#[tokio::test]
async fn a_sender_can_settle_an_email_just_before_its_claim_expires() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let attempt = planned(store, &delivery).await;
    store.claim_delivery(&attempt, EXPIRED_CLAIM).await.expect("a response").expect("claimed");
    let mut sender = records.database.connect().await;
    sender.batch_execute("START TRANSACTION").await.expect("started");
    let lock = format!("SELECT id FROM submissions WHERE id = '{}' FOR UPDATE", run.submission);
    sender.batch_execute(&lock).await.expect("locked");

    let settled_meanwhile = async {
        eventually("the second attempt to wait for the sender", || async {
            let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE db = DATABASE() AND info LIKE 'SELECT `submissions`%FOR UPDATE%'";
            (records.database.number(waiting).await == 1).then_some(())
        })
        .await;
        let settle = format!("UPDATE deliveries SET status = 'sent' WHERE id = '{}'", delivery.id);
        sender.batch_execute(&settle).await.expect("settled");
        sender.batch_execute("COMMIT").await.expect("committed");
    };
    let (state, ()) = tokio::join!(store.delivery_state(delivery.id), settled_meanwhile);

    assert_eq!(state.expect("a response"), DeliveryState::Settled(DeliveryStatus::Sent));
    records.remove().await;
}

#[tokio::test]
async fn only_the_claiming_attempt_can_release_or_settle_a_delivery() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let late_attempt = planned(store, &delivery).await;
    let claimed = store
        .claim_delivery(&late_attempt, LONG_CLAIM)
        .await
        .expect("a response")
        .expect("claimed");

    // A second attempt starts while the first is still sending.
    let state = store.delivery_state(delivery.id).await.expect("a response");
    assert!(matches!(state, DeliveryState::Sending { left } if left <= LONG_CLAIM), "{state:?}");
    assert!(
        !store
            .release_delivery(&late_attempt, FailureReason::new(FailureCode::SmtpTimeout, ""))
            .await
            .expect("a response")
    );
    let unknown = store.settle_delivery(&late_attempt, DeliveryStatus::Unknown, None).await;
    assert!(
        !unknown.expect("a response"),
        "the attempt changed an e-mail that another attempt has claimed"
    );
    assert!(
        store
            .release_delivery(&claimed, FailureReason::new(FailureCode::SmtpDeferred, ""))
            .await
            .expect("a response")
    );

    // Another attempt can now send the released e-mail, and the first attempt can no longer settle it.
    let next = planned(store, &delivery).await;
    let next = store.claim_delivery(&next, LONG_CLAIM).await.expect("a response").expect("claimed");
    let stale = store.settle_delivery(&claimed, DeliveryStatus::Unknown, None).await;
    assert!(
        !stale.expect("a response"),
        "an attempt settled the e-mail after it had released its claim"
    );
    assert!(store.settle_delivery(&next, DeliveryStatus::Sent, None).await.expect("a response"));
    let sent = only(store, run).await;
    assert_eq!((sent.status, sent.attempts), (DeliveryStatus::Sent, 2));
    records.remove().await;
}

#[tokio::test]
async fn an_email_with_an_expired_claim_is_settled_as_unknown() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let attempt = planned(store, &delivery).await;
    let claimed =
        store.claim_delivery(&attempt, EXPIRED_CLAIM).await.expect("a response").expect("claimed");

    let state = store.delivery_state(delivery.id).await.expect("a response");

    assert_eq!(state, DeliveryState::Abandoned);
    let again = store.delivery_state(delivery.id).await.expect("a response");
    assert_eq!(
        again,
        DeliveryState::Settled(DeliveryStatus::Unknown),
        "the e-mail must stay settled"
    );
    assert!(
        !store
            .release_delivery(&claimed, FailureReason::new(FailureCode::SmtpDeferred, ""))
            .await
            .expect("a response")
    );
    let settled = only(store, run).await;
    assert_eq!(settled.status, DeliveryStatus::Unknown);
    assert_eq!(settled.error_code.as_deref(), Some("sender_lost"));
    let events = store.events(run.submission, 0).await.expect("events");
    assert_eq!(events.last().expect("events").step.name(), "mail_unknown");
    records.remove().await;
}

#[tokio::test]
async fn an_abandoned_delivery_keeps_the_reason_of_its_last_failure() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;
    let attempt = planned(store, &delivery).await;
    assert!(
        store
            .release_delivery(&attempt, FailureReason::new(FailureCode::SmtpDeferred, "busy"))
            .await
            .expect("a response")
    );
    let state = store.delivery_state(delivery.id).await.expect("a response");
    let DeliveryState::Planned(tried, attempt) = state else { panic!("{state:?}") };

    assert!(store.give_up_delivery(&tried, &attempt).await.expect("a response"));

    let failed = only(store, run).await;
    assert_eq!((failed.status, failed.attempts), (DeliveryStatus::Failed, 1));
    assert_eq!(failed.error_code.as_deref(), Some("smtp_deferred"));
    assert_eq!(failed.error_detail.as_deref(), Some("busy"));
    records.remove().await;
}

/// Claims a failed run's e-mail, as a worker does before sending it.
async fn sending(records: &Records) -> (RunKey, Delivery, DeliveryAttempt) {
    let (run, delivery) = due(records).await;
    let attempt = planned(&records.store, &delivery).await;
    let claimed = records.store.claim_delivery(&attempt, LONG_CLAIM).await.expect("a response");
    (run, delivery, claimed.expect("claimed"))
}

async fn assert_superseded(store: &Store, delivery: &Delivery) {
    let state = store.delivery_state(delivery.id).await.expect("a response");
    assert_eq!(state, DeliveryState::Settled(DeliveryStatus::Failed));
    let all = store.deliveries(delivery.submission_id).await.expect("deliveries");
    let settled = all.iter().find(|one| one.id == delivery.id).expect("the delivery");
    assert_eq!(settled.error_code.as_deref(), Some("superseded"));
}

#[tokio::test]
async fn an_old_email_deferred_after_a_retry_is_not_sent() {
    let records = Records::new().await;
    let store = &records.store;
    // The old e-mail is deferred once before and once after the new run ends.
    for ends in [false, true] {
        let (run, delivery, claimed) = sending(&records).await;
        let entry = audit_entry(Action::SubmissionRetry);
        let retried = store
            .retry_submission(run.submission, EXPIRED_CLAIM, &entry)
            .await
            .expect("a response");
        let RetryOutcome::Queued(newer) = retried else { panic!("{retried:?}") };
        if ends {
            let ending = RunEnd {
                status: EndStatus::Failed,
                code: "a_code".to_owned(),
                detail: String::new(),
            };
            store.end_run(newer, &ending).await.expect("recorded");
        }
        assert!(
            store
                .release_delivery(&claimed, FailureReason::new(FailureCode::SmtpDeferred, ""))
                .await
                .expect("a response")
        );

        assert_superseded(store, &delivery).await;
        if ends {
            let all = store.deliveries(run.submission).await.expect("deliveries");
            let its_own = all
                .iter()
                .find(|one| one.run_number == newer.number)
                .expect("the delivery of the new run");
            planned(store, its_own).await;
        }
    }
    records.remove().await;
}

#[tokio::test]
async fn a_reset_supersedes_pending_emails_of_earlier_runs() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = due(&records).await;

    let adopted = store.adopt(run, "reset", "first", None).await.expect("a response");

    assert!(matches!(adopted, Adoption::Current { .. }), "{adopted:?}");
    let settled = only(store, run).await;
    assert_eq!(
        settled.error_code.as_deref(),
        Some("superseded"),
        "the reset must settle the e-mail at once"
    );
    assert_superseded(store, &delivery).await;
    records.remove().await;
}

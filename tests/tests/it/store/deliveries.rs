//! The ledger of e-mails, where two attempts meet.

use super::Records;
use diagflow_store::{
    Action, Adoption, Attempt, Delivery, DeliveryStatus, Ending, Outcome, Retrying, RunKey,
    Standing, Store,
};
use diagflow_tests::eventually;
use diagflow_tests::seeding::line;
use diesel_async::SimpleAsyncConnection;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
const OVER: Duration = Duration::ZERO;

/// Lets a run fail; returns the e-mail that is owed for it.
async fn owed(records: &Records) -> (RunKey, Delivery) {
    let run = records.submission().await;
    let ending =
        Ending { outcome: Outcome::Failed, code: "a_code".to_owned(), detail: String::new() };
    records.store.diagnosis_ended(run, &ending).await.expect("recorded");
    (run, only(&records.store, run).await)
}

async fn only(store: &Store, run: RunKey) -> Delivery {
    store.deliveries(run.submission).await.expect("deliveries").remove(0)
}

async fn planned(store: &Store, delivery: &Delivery) -> Attempt {
    match store.delivery_standing(delivery.id).await.expect("an answer") {
        Standing::Planned(_, attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_one_of_two_attempts_may_send() {
    let records = Records::new().await;
    let store = &records.store;
    let (_, delivery) = owed(&records).await;
    let (one, other) = (planned(store, &delivery).await, planned(store, &delivery).await);

    let (one, other) =
        tokio::join!(store.claim_delivery(&one, LONG), store.claim_delivery(&other, LONG));

    let claims = [one.expect("an answer"), other.expect("an answer")];
    assert_eq!(claims.iter().flatten().count(), 1, "{claims:?}");
    records.remove().await;
}

#[tokio::test]
async fn a_claim_that_failed_takes_nothing_from_the_one_that_holds() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let (one, other) = (planned(store, &delivery).await, planned(store, &delivery).await);
    let claimed = store.claim_delivery(&other, LONG).await.expect("an answer").expect("claimed");

    // The one's own claim got no answer, and it cannot tell whether it was written.
    let withdrawn = store.withdraw_claim(&one, ("records_unavailable", "")).await;

    assert!(!withdrawn.expect("an answer"), "the claim is not its own");
    assert_eq!(only(store, run).await.status, DeliveryStatus::Sending);
    assert!(store.settle_delivery(&claimed, DeliveryStatus::Sent, None).await.expect("an answer"));
    records.remove().await;
}

#[tokio::test]
async fn a_claim_is_withdrawn_whether_it_was_written_or_comes_late() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let written = planned(store, &delivery).await;
    store.claim_delivery(&written, LONG).await.expect("an answer").expect("claimed");
    let why = ("records_unavailable", "");

    assert!(store.withdraw_claim(&written, why).await.expect("an answer"));
    assert_eq!(only(store, run).await.status, DeliveryStatus::Planned);

    let late = planned(store, &delivery).await;
    assert!(store.withdraw_claim(&late, why).await.expect("an answer"));
    let claimed = store.claim_delivery(&late, LONG).await.expect("an answer");
    assert_eq!(claimed, None, "it was withdrawn before it came");
    let owed = only(store, run).await;
    assert_eq!((owed.status, owed.attempts), (DeliveryStatus::Planned, 2));
    records.remove().await;
}

#[tokio::test]
async fn a_sender_that_settles_just_before_it_is_taken_for_dead_is_believed() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let attempt = planned(store, &delivery).await;
    store.claim_delivery(&attempt, OVER).await.expect("an answer").expect("claimed");
    let mut sender = records.database.connect().await;
    sender.batch_execute("START TRANSACTION").await.expect("begins");
    let lock = format!("SELECT id FROM submissions WHERE id = '{}' FOR UPDATE", run.submission);
    sender.batch_execute(&lock).await.expect("locks");

    let settled_meanwhile = async {
        eventually("the one who looks to wait for the sender", || async {
            let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE db = DATABASE() AND info LIKE 'SELECT `submissions`%FOR UPDATE%'";
            (records.database.number(waiting).await == 1).then_some(())
        })
        .await;
        let settle = format!("UPDATE deliveries SET status = 'sent' WHERE id = '{}'", delivery.id);
        sender.batch_execute(&settle).await.expect("settles");
        sender.batch_execute("COMMIT").await.expect("commits");
    };
    let (standing, ()) = tokio::join!(store.delivery_standing(delivery.id), settled_meanwhile);

    assert_eq!(standing.expect("an answer"), Standing::Settled(DeliveryStatus::Sent));
    records.remove().await;
}

#[tokio::test]
async fn a_text_that_is_under_way_is_left_to_its_sender() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let late = planned(store, &delivery).await;
    let claimed = store.claim_delivery(&late, LONG).await.expect("an answer").expect("claimed");

    // Another attempt comes while the first is at work.
    let standing = store.delivery_standing(delivery.id).await.expect("an answer");
    assert!(matches!(standing, Standing::Sending { left } if left <= LONG), "{standing:?}");
    assert!(!store.release_delivery(&late, ("a_code", "")).await.expect("an answer"));
    let unknown = store.settle_delivery(&late, DeliveryStatus::Unknown, None).await;
    assert!(!unknown.expect("an answer"), "the claim is not its own");
    assert!(store.release_delivery(&claimed, ("try_later", "")).await.expect("an answer"));

    // What the first gave back can be sent; the first itself has nothing more to say.
    let next = planned(store, &delivery).await;
    let next = store.claim_delivery(&next, LONG).await.expect("an answer").expect("claimed");
    let stale = store.settle_delivery(&claimed, DeliveryStatus::Unknown, None).await;
    assert!(!stale.expect("an answer"), "its claim is over");
    assert!(store.settle_delivery(&next, DeliveryStatus::Sent, None).await.expect("an answer"));
    let sent = only(store, run).await;
    assert_eq!((sent.status, sent.attempts), (DeliveryStatus::Sent, 2));
    records.remove().await;
}

#[tokio::test]
async fn a_text_whose_time_is_over_is_unknown_for_good() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let attempt = planned(store, &delivery).await;
    let claimed = store.claim_delivery(&attempt, OVER).await.expect("an answer").expect("claimed");

    let standing = store.delivery_standing(delivery.id).await.expect("an answer");

    assert_eq!(standing, Standing::Abandoned);
    let again = store.delivery_standing(delivery.id).await.expect("an answer");
    assert_eq!(again, Standing::Settled(DeliveryStatus::Unknown), "it is settled but once");
    assert!(!store.release_delivery(&claimed, ("try_later", "")).await.expect("an answer"));
    let settled = only(store, run).await;
    assert_eq!(settled.status, DeliveryStatus::Unknown);
    assert_eq!(settled.error_code.as_deref(), Some("sender_died"));
    let story = store.events(run.submission, 0).await.expect("events");
    assert_eq!(story.last().expect("a story").step.name(), "mail_unknown");
    records.remove().await;
}

#[tokio::test]
async fn a_delivery_that_is_given_up_keeps_its_last_reason() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;
    let attempt = planned(store, &delivery).await;
    assert!(store.release_delivery(&attempt, ("try_later", "words")).await.expect("an answer"));
    let standing = store.delivery_standing(delivery.id).await.expect("an answer");
    let Standing::Planned(tried, attempt) = standing else { panic!("{standing:?}") };

    assert!(store.give_up_delivery(&tried, &attempt).await.expect("an answer"));

    let failed = only(store, run).await;
    assert_eq!((failed.status, failed.attempts), (DeliveryStatus::Failed, 1));
    assert_eq!(failed.error_code.as_deref(), Some("try_later"));
    assert_eq!(failed.error_detail.as_deref(), Some("words"));
    records.remove().await;
}

/// Claims the e-mail of a run that failed, as a worker does that is handing its text over.
async fn under_way(records: &Records) -> (RunKey, Delivery, Attempt) {
    let (run, delivery) = owed(records).await;
    let attempt = planned(&records.store, &delivery).await;
    let claimed = records.store.claim_delivery(&attempt, LONG).await.expect("an answer");
    (run, delivery, claimed.expect("claimed"))
}

async fn is_superseded(store: &Store, delivery: &Delivery) {
    let standing = store.delivery_standing(delivery.id).await.expect("an answer");
    assert_eq!(standing, Standing::Settled(DeliveryStatus::Failed));
    let all = store.deliveries(delivery.submission_id).await.expect("deliveries");
    let settled = all.iter().find(|one| one.id == delivery.id).expect("it stays");
    assert_eq!(settled.error_code.as_deref(), Some("superseded"));
}

#[tokio::test]
async fn an_old_e_mail_that_comes_back_after_a_retry_is_not_sent() {
    let records = Records::new().await;
    let store = &records.store;
    // Before the new run ends, and after.
    for ends in [false, true] {
        let (run, delivery, claimed) = under_way(&records).await;
        let entry = line(Action::SubmissionRetry);
        let retried = store.retry(run.submission, OVER, &entry).await.expect("an answer");
        let Retrying::Queued(newer) = retried else { panic!("{retried:?}") };
        if ends {
            let ending = Ending {
                outcome: Outcome::Failed,
                code: "a_code".to_owned(),
                detail: String::new(),
            };
            store.diagnosis_ended(newer, &ending).await.expect("recorded");
        }
        assert!(store.release_delivery(&claimed, ("try_later", "")).await.expect("an answer"));

        is_superseded(store, &delivery).await;
        if ends {
            let all = store.deliveries(run.submission).await.expect("deliveries");
            let own = all.iter().find(|one| one.run_number == newer.number).expect("its own");
            planned(store, own).await;
        }
    }
    records.remove().await;
}

#[tokio::test]
async fn a_reset_calls_off_what_earlier_runs_owe() {
    let records = Records::new().await;
    let store = &records.store;
    let (run, delivery) = owed(&records).await;

    let adopted = store.adopt(run, "reset", "first", None).await.expect("an answer");

    assert!(matches!(adopted, Adoption::Current { .. }), "{adopted:?}");
    let settled = only(store, run).await;
    assert_eq!(settled.error_code.as_deref(), Some("superseded"), "at once");
    is_superseded(store, &delivery).await;
    records.remove().await;
}

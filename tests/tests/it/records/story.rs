//! The numbering of a submission's story.

use super::Records;
use diagflow_store::{
    Adoption, DeliveryId, DeliveryStatus, Ending, Outcome, RunKey, Store, Stored,
};
use futures::future::join_all;
use uuid::Uuid;

/// As many e-mails are told of at once.
const AT_ONCE: usize = 16;

/// Lets a run fail; returns the e-mail that is owed for it.
async fn fail(store: &Store, run: RunKey) -> DeliveryId {
    let ending =
        Ending { outcome: Outcome::Failed, code: "a_code".to_owned(), detail: String::new() };
    match store.diagnosis_ended(run, &ending).await.expect("an answer") {
        Stored::Done(Some(delivery)) => delivery,
        other => panic!("{other:?}"),
    }
}

/// Sets a submission that failed going again; returns its new run.
async fn reset(store: &Store, run: RunKey) -> RunKey {
    let (now, began) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    match store.adopt(run, &now, &began, None).await.expect("an answer") {
        Adoption::Current { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

async fn tell_of_mail(store: &Store, delivery: DeliveryId) {
    store.claim_delivery(delivery).await.expect("claimed");
    store.settle_delivery(delivery, DeliveryStatus::Sent, None).await.expect("settled");
}

#[tokio::test]
async fn events_are_numbered_without_gaps_however_many_write() {
    let records = Records::new().await;
    let store = &records.store;
    let mut run = records.submission().await;
    let mut owed = vec![fail(store, run).await];
    while owed.len() < AT_ONCE {
        run = reset(store, run).await;
        owed.push(fail(store, run).await);
    }
    let before = store.events(run.submission, 0).await.expect("events").len();

    join_all(owed.into_iter().map(|delivery| tell_of_mail(store, delivery))).await;

    let events = store.events(run.submission, 0).await.expect("events");
    assert_eq!(events.len(), before + AT_ONCE);
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    let count = i32::try_from(events.len()).expect("not so many");
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    let submission = store.submission(run.submission).await.expect("read").expect("stored");
    assert_eq!(submission.last_event, count);
    records.remove().await;
}

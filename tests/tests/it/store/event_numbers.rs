//! Tests of how a submission's events are numbered.

use super::Records;
use diagflow_store::{
    Adoption, DeliveryAttempt, DeliveryState, DeliveryStatus, EndStatus, RunEnd, RunKey, Store,
    TransitionOutcome,
};
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

const CONCURRENT: usize = 16;

/// Fails a run and claims its e-mail.
async fn fail_and_claim(store: &Store, run: RunKey) -> DeliveryAttempt {
    let ending =
        RunEnd { status: EndStatus::Failed, code: "a_code".to_owned(), detail: String::new() };
    let stored = store.end_run(run, &ending).await.expect("a response");
    assert_eq!(stored, TransitionOutcome::Applied(()));
    let deliveries = store.deliveries(run.submission).await.expect("deliveries");
    let attempts = deliveries.iter().find(|delivery| delivery.run_number == run.number);
    let state = store.delivery_state(attempts.expect("a delivery").id).await.expect("a response");
    let DeliveryState::Planned(_, attempt) = state else { panic!("{state:?}") };
    let claimed = store.claim_delivery(&attempt, Duration::from_secs(60)).await;
    claimed.expect("a response").expect("claimed")
}

/// Restarts a failed submission by adopting a new execution, as happens after a reset in Temporal. Returns the new run.
async fn reset(store: &Store, run: RunKey) -> RunKey {
    let (now, began) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    match store.adopt(run, &now, &began, None).await.expect("a response") {
        Adoption::Current { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

async fn settle(store: &Store, attempt: DeliveryAttempt) {
    let settled = store.settle_delivery(&attempt, DeliveryStatus::Sent, None).await;
    assert!(settled.expect("settled"));
}

#[tokio::test]
async fn concurrent_writers_number_events_without_gaps() {
    let records = Records::new().await;
    let store = &records.store;
    let mut run = records.submission().await;
    let mut attempts = vec![fail_and_claim(store, run).await];
    while attempts.len() < CONCURRENT {
        run = reset(store, run).await;
        attempts.push(fail_and_claim(store, run).await);
    }
    let before = store.events(run.submission, 0).await.expect("events").len();

    join_all(attempts.into_iter().map(|attempt| settle(store, attempt))).await;

    let events = store.events(run.submission, 0).await.expect("events");
    assert_eq!(events.len(), before + CONCURRENT);
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    let count = i32::try_from(events.len()).expect("a small number");
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    let submission = store.submission(run.submission).await.expect("read").expect("stored");
    assert_eq!(submission.last_event, count);
    records.remove().await;
}

#[tokio::test]
async fn unknown_steps_from_a_newer_version_are_returned_unchanged() {
    let records = Records::new().await;
    let run = records.submission().await;
    records.database.execute("UPDATE events SET step = 'of_tomorrow'").await;

    let rows = records.store.events_after_id(0, &[], 10).await.expect("a response");

    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].submission_id, rows[0].step.as_str()), (run.submission, "of_tomorrow"));
    records.remove().await;
}

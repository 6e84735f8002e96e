//! The API and the worker may record a run's workflow execution at the same time. The tests check that the run is not
//! started twice.

use super::Records;
use diagflow_store::{Action, Adoption, CancelOutcome};
use diagflow_tests::eventually;
use diagflow_tests::seeding::audit_entry;
use diesel_async::SimpleAsyncConnection;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test]
async fn a_run_whose_start_is_being_recorded_is_not_adopted_as_a_second_run() {
    let records = Records::new().await;
    let run = records.submission().await;
    let temporal_run_id = Uuid::new_v4().to_string();
    // The API has written the start of the run but has not yet committed the transaction.
    let mut starter = records.database.connect().await;
    let record_start = format!(
        "BEGIN; UPDATE runs SET temporal_run_id = '{temporal_run_id}', started_at = NOW(6)"
    );
    starter.batch_execute(&record_start).await.expect("recorded");

    let adopting = tokio::spawn({
        let (store, id) = (records.store.clone(), temporal_run_id.clone());
        async move { store.adopt(run, &id, &id, None).await }
    });
    eventually("the worker to wait for the API", || async {
        // The test does not use `innodb_trx` because MySQL stops updating that table if it is read more than ten times
        // a second.
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE db = DATABASE() AND command = 'Execute' AND info LIKE 'UPDATE `runs`%'";
        (records.database.number(waiting).await == 1).then_some(())
    })
    .await;
    starter.batch_execute("COMMIT").await.expect("committed");

    let adopted = adopting.await.expect("no panic").expect("a response");
    assert!(
        matches!(adopted, Adoption::Current { run: adopted, .. } if adopted == run),
        "{adopted:?}"
    );
    drop(starter);
    records.remove().await;
}

#[tokio::test]
async fn a_reset_run_ends_the_run_that_it_replaces_and_takes_over_its_cancellation() {
    let records = Records::new().await;
    let first = records.submission().await;
    let store = &records.store;
    let [original, reset] = [(); 2].map(|()| Uuid::new_v4().to_string());
    store.adopt(first, &original, &original, None).await.expect("adopted");
    let entry = audit_entry(Action::SubmissionCancel);
    let cancelled = store.request_cancel(first.submission, &entry).await.expect("a response");
    assert_eq!(cancelled, CancelOutcome::Requested(first));

    store.adopt(first, &reset, &original, None).await.expect("adopted");

    let runs = store.runs(first.submission).await.expect("runs");
    assert_eq!(runs.len(), 2);
    assert!(runs[0].finished_at.is_some(), "the replaced run is still open");
    assert!(runs[1].finished_at.is_none(), "the reset run has ended");
    assert_eq!(runs[1].cancel_requested_at, runs[0].cancel_requested_at);
    let due = store.claim_cancellations(10, Duration::from_secs(60)).await.expect("claimed");
    let due: Vec<_> = due.iter().map(|run| run.temporal_run_id.as_str()).collect();
    assert_eq!(due, [reset]);
    records.remove().await;
}

//! Which Temporal execution belongs to a run when the API and the worker record it at the same
//! time.

use super::Records;
use diagflow_store::Adoption;
use diagflow_tests::eventually;
use diesel_async::SimpleAsyncConnection;
use uuid::Uuid;

#[tokio::test]
async fn a_run_whose_start_is_being_recorded_is_not_adopted_as_a_second_one() {
    let records = Records::new().await;
    let run = records.submission().await;
    let temporal_run_id = Uuid::new_v4().to_string();
    // The API has recorded the start, but not committed it yet.
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
        // Not `innodb_trx`: its contents are not updated while it is read more than ten times a
        // second.
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

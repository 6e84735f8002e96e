//! Tests with a database that stalls for some time and then sends all responses at once.

use super::Records;
use diagflow_store::{PoolSettings, Store};
use diagflow_tests::{Proxy, eventually};
use diesel_async::SimpleAsyncConnection;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(300);

/// Returns a store whose only connection goes through the returned proxy.
async fn store_by_proxy(records: &Records, statement: Duration) -> (Proxy, Store) {
    let (proxy, url) = records.database.via_proxy().await;
    let pool = PoolSettings { url, size: 1, pool_timeout: WAIT, statement_timeout: statement };
    (proxy, Store::connect(&pool).await.expect("a pool"))
}

#[tokio::test]
async fn an_abandoned_response_is_not_used_for_the_next_query() {
    let records = Records::new().await;
    let (proxy, store) = store_by_proxy(&records, Duration::from_secs(30)).await;
    let (ana, ben) = (records.submission().await.submission, records.submission().await.submission);
    // The number of abandoned queries varies because the pool may also have sent test queries that got no response.
    for queries in 1..=3 {
        for _ in 0..2 {
            store.submission(ana).await.expect("a response").expect("found");
        }
        proxy.stall();
        for _ in 0..queries {
            store.submission(ana).await.expect_err("no response");
        }
        proxy.restore();

        let (first, second) = eventually("the database to respond", || async {
            Some((store.submission(ana).await.ok()??, store.submission(ben).await.ok()??))
        })
        .await;

        assert_eq!((first.id, second.id), (ana, ben), "after {queries} abandoned queries");
    }
    records.remove().await;
}

#[tokio::test]
async fn a_cancelled_statement_closes_its_connection() {
    let records = Records::new().await;
    let (_proxy, store) = store_by_proxy(&records, Duration::from_secs(30)).await;
    let run = records.submission().await;
    let mut holder = records.database.connect().await;
    holder.batch_execute("BEGIN; UPDATE runs SET start_after = NOW(6)").await.expect("held");

    let waited = tokio::time::timeout(WAIT, store.requeue_run(run, WAIT)).await;
    waited.expect_err("the statement waits for the locked row");

    // The row is still locked, so a query on the first connection would get no response.
    let found = store.submission(run.submission).await.expect("a response").expect("found");
    assert_eq!(found.id, run.submission);
    drop(holder);
    records.remove().await;
}

#[tokio::test]
async fn a_statement_without_a_response_times_out() {
    let records = Records::new().await;
    let (_proxy, store) = store_by_proxy(&records, WAIT).await;
    let run = records.submission().await;
    // The statement is stalled by a locked row because, with a stalled proxy, the pool would not hand out a connection
    // at all.
    let mut holder = records.database.connect().await;
    holder.batch_execute("BEGIN; UPDATE runs SET start_after = NOW(6)").await.expect("held");

    let queries = tokio::time::timeout(Duration::from_secs(30), store.requeue_run(run, WAIT));

    queries.await.expect("an end in time").expect_err("no response");
    eventually("a query to succeed on another connection", || async { store.ping().await.ok() })
        .await;
    drop(holder);
    records.remove().await;
}

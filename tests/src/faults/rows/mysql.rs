use crate::dedicated_servers::DedicatedMariaDb;
use crate::faults::load::Load;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::Duration;

const PATIENTS: usize = 4;
/// Number of submissions to wait for between faults.
const BATCH: usize = 5;
/// Size of each process's connection pool, which [`PATIENTS_OVER_POOL`] exceeds.
const CONNECTIONS: &str = "4";
const PATIENTS_OVER_POOL: usize = 12;

/// Under load, MySQL is killed, resolves a deadlock, delays statements and becomes read-only. In the second part, the
/// connection pool is exhausted.
pub(crate) async fn outages() -> RowReport {
    under_load().await.merge(pool_exhausted().await)
}

async fn under_load() -> RowReport {
    let mut database = DedicatedMariaDb::start().await;
    let options = StackOptions {
        mysql: Some(database.url()),
        ..StackOptions::default()
            .with("DATABASE_POOL_SIZE", CONNECTIONS)
            .with("DATABASE_POOL_TIMEOUT_SECONDS", "1")
            .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "2")
            .with("IDEMPOTENCY_LEASE_SECONDS", "3")
    };
    let mut testbed = Testbed::start(options).await;
    // A delivery becomes `unknown` if MySQL fails just after the mail server's reply.
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    let load = Load::start(PATIENTS, &[testbed.stack.client.clone()]);
    load.wait_for_accepted(BATCH).await;

    database.kill();
    wait_for_retry(&load).await;
    database.restart().await;
    load.wait_for_accepted(BATCH).await;

    deadlock(&testbed, &database).await;
    load.wait_for_accepted(BATCH).await;

    let locks = lock_all_submissions(&testbed).await;
    wait_for_deferral(&load).await;
    drop(locks);
    load.wait_for_accepted(BATCH).await;

    database.as_root("SET GLOBAL read_only = 1").await;
    wait_for_deferral(&load).await;
    database.as_root("SET GLOBAL read_only = 0").await;
    load.wait_for_accepted(BATCH).await;

    for followed in load.stop().await {
        testbed.record_followed(followed);
    }
    testbed.report().await
}

/// There are more requests than connections, and every connection waits for a lock. The statement timeout is long so
/// that requests fail only because of the pool timeout.
async fn pool_exhausted() -> RowReport {
    let options = StackOptions::default()
        .with("DATABASE_POOL_SIZE", CONNECTIONS)
        .with("DATABASE_POOL_TIMEOUT_SECONDS", "1")
        .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "600")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    // A delivery becomes `unknown` if the outcome of its e-mail cannot be stored in time.
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    let load = Load::start(PATIENTS_OVER_POOL, &[testbed.stack.client.clone()]);
    load.wait_for_accepted(BATCH).await;

    let locks = lock_all_submissions(&testbed).await;
    let (before, deferred) = (pool_refusals(&testbed), load.deferred());
    crate::eventually("a pool timeout and a response with Retry-After", || async {
        let is_so = pool_refusals(&testbed) > before && load.deferred() > deferred;
        is_so.then_some(())
    })
    .await;
    drop(locks);
    load.wait_for_accepted(BATCH).await;

    for followed in load.stop().await {
        testbed.record_followed(followed);
    }
    testbed.report().await
}

/// Counts the requests that failed because no connection was free, according to the API's log.
fn pool_refusals(testbed: &Testbed) -> usize {
    let log = testbed.stack.api.as_ref().expect("a running process").log();
    let of_the_pool = |line: &&str| {
        line.contains("request failed")
            && (line.contains("no connection was free in time")
                || line.contains("the connection queue is stalled"))
    };
    log.lines().filter(of_the_pool).count()
}

async fn wait_for_retry(load: &Load) {
    let before = load.repeated();
    crate::eventually("a patient to retry", || async { (load.repeated() > before).then_some(()) })
        .await;
}

async fn wait_for_deferral(load: &Load) {
    let before = load.deferred();
    crate::eventually("a 503 with Retry-After", || async {
        (load.deferred() > before).then_some(())
    })
    .await;
}

/// Causes a deadlock. The test locks the counters, waits until one of Diagflow's transactions is waiting for them, and
/// then locks the submissions. MySQL rolls back the transaction with fewer changes, which is Diagflow's.
async fn deadlock(testbed: &Testbed, database: &DedicatedMariaDb) {
    let mut other = testbed.stack.database.connect().await;
    let heavy = "CREATE TABLE IF NOT EXISTS ballast (n INT); START TRANSACTION; \
         INSERT INTO ballast SELECT seq FROM seq_1_to_2000; \
         SELECT COUNT(*) FROM submission_counts FOR UPDATE";
    other.batch_execute(heavy).await.expect("locked counters");
    crate::eventually("the product to wait for a lock", || async {
        (waiting_transactions(database).await > 0).then_some(())
    })
    .await;
    let before = deadlocks(testbed).await;
    other.batch_execute("SELECT COUNT(*) FROM submissions FOR UPDATE").await.expect("locked rows");
    other.batch_execute("ROLLBACK; DROP TABLE ballast").await.expect("released locks");
    assert!(deadlocks(testbed).await > before, "MySQL has resolved a deadlock");
}

async fn waiting_transactions(database: &DedicatedMariaDb) -> i64 {
    // MySQL refreshes the `innodb_trx` view at most every 100 ms.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let waits = "SELECT COUNT(*) FROM information_schema.innodb_trx \
         WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%submission_counts%'";
    database.number(waits).await
}

async fn deadlocks(testbed: &Testbed) -> i64 {
    let count = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
         WHERE variable_name = 'Innodb_deadlocks'";
    testbed.stack.database.number(count).await
}

/// Locks all submissions. Statements that modify a submission block until the returned connection is dropped.
async fn lock_all_submissions(testbed: &Testbed) -> AsyncMysqlConnection {
    let mut other = testbed.stack.database.connect().await;
    other.batch_execute("START TRANSACTION").await.expect("a transaction");
    let locked = diesel::dsl::sql::<BigInt>(
        "SELECT COUNT(*) FROM (SELECT id FROM submissions FOR UPDATE) AS locked",
    );
    let _: i64 = locked.get_result(&mut other).await.expect("locked rows");
    other
        .batch_execute("SELECT amount FROM submission_counts FOR UPDATE")
        .await
        .expect("locked rows");
    other
}

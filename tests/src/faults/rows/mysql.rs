//! MySQL.

use crate::dedicated_servers::DedicatedMariaDb;
use crate::faults::load::Load;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::Duration;

/// Patients at work meanwhile.
const PATIENTS: usize = 4;
/// Submissions before and after a fault.
const BATCH: usize = 5;
/// Connections of a process, and patients who are more than they.
const CONNECTIONS: &str = "4";
const PATIENTS_OVER_POOL: usize = 12;

/// Killed under load; a deadlock; statements that take longer than they may; every connection taken; read-only
/// for a while.
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
    // Where the records break off just after the mail server's answer, nobody knows it.
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

/// More want a connection than there are, while each that has one waits for longer than a caller waits for one.
/// No statement's limit strikes here, so that only the pool itself can put anybody off.
async fn pool_exhausted() -> RowReport {
    let options = StackOptions::default()
        .with("DATABASE_POOL_SIZE", CONNECTIONS)
        .with("DATABASE_POOL_TIMEOUT_SECONDS", "1")
        .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "600")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    // A result that cannot be noted in time may have been sent.
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    let load = Load::start(PATIENTS_OVER_POOL, &[testbed.stack.client.clone()]);
    load.wait_for_accepted(BATCH).await;

    let locks = lock_all_submissions(&testbed).await;
    let (before, deferred) = (pool_refusals(&testbed), load.deferred());
    crate::eventually("the pool to refuse somebody, who is asked to come again", || async {
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

/// How often the API says that the pool had no connection for a request (`store/src/db/pool.rs`).
fn pool_refusals(testbed: &Testbed) -> usize {
    let log = testbed.stack.api.as_ref().expect("runs").log();
    let of_the_pool = |line: &&str| {
        line.contains("request refused")
            && (line.contains("none came free in time") || line.contains("others wait in vain"))
    };
    log.lines().filter(of_the_pool).count()
}

/// Waits until a patient had to repeat a request.
async fn wait_for_retry(load: &Load) {
    let before = load.repeated();
    crate::eventually("a patient to notice", || async { (load.repeated() > before).then_some(()) })
        .await;
}

/// Waits until the API has asked a patient to come again.
async fn wait_for_deferral(load: &Load) {
    let before = load.deferred();
    crate::eventually("the API to put somebody off", || async {
        (load.deferred() > before).then_some(())
    })
    .await;
}

/// Locks rows in the other order than the product does, once somebody of the product waits for them: MySQL
/// ends the transaction that has changed less, which is the product's.
async fn deadlock(testbed: &Testbed, database: &DedicatedMariaDb) {
    let mut other = testbed.stack.database.connect().await;
    let heavy = "CREATE TABLE IF NOT EXISTS ballast (n INT); START TRANSACTION; \
         INSERT INTO ballast SELECT seq FROM seq_1_to_2000; \
         SELECT COUNT(*) FROM submission_counts FOR UPDATE";
    other.batch_execute(heavy).await.expect("holds the counters");
    crate::eventually("a transaction of the product to wait", || async {
        (waiting_transactions(database).await > 0).then_some(())
    })
    .await;
    let before = deadlocks(testbed).await;
    other.batch_execute("SELECT COUNT(*) FROM submissions FOR UPDATE").await.expect("wins");
    other.batch_execute("ROLLBACK; DROP TABLE ballast").await.expect("lets go");
    assert!(deadlocks(testbed).await > before, "MySQL broke a deadlock");
}

/// How many transactions wait for the lock of a counter.
async fn waiting_transactions(database: &DedicatedMariaDb) -> i64 {
    // What MySQL shows of them stays as it is while somebody asks more than ten times a second.
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

/// Whoever wants to change a submission now waits with its connection.
async fn lock_all_submissions(testbed: &Testbed) -> AsyncMysqlConnection {
    let mut other = testbed.stack.database.connect().await;
    other.batch_execute("START TRANSACTION").await.expect("begins");
    let locked = diesel::dsl::sql::<BigInt>(
        "SELECT COUNT(*) FROM (SELECT id FROM submissions FOR UPDATE) AS locked",
    );
    let _: i64 = locked.get_result(&mut other).await.expect("locks");
    other.batch_execute("SELECT amount FROM submission_counts FOR UPDATE").await.expect("locks");
    other
}

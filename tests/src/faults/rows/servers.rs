//! MySQL.

use crate::faults::load::Load;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::own_servers::OwnMariaDb;
use crate::stack::StackOptions;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::Duration;

/// Patients at work meanwhile.
const PATIENTS: usize = 4;
/// Submissions before and after a fault.
const SOME: usize = 5;
/// Connections of a process, and patients who are more than they.
const CONNECTIONS: &str = "4";
const MORE: usize = 12;

/// Killed under load; a deadlock; statements that take longer than they may; every connection taken; read-only
/// for a while.
pub(crate) async fn mysql() -> Report {
    under_load().await.and(pool_exhausted().await)
}

async fn under_load() -> Report {
    let mut database = OwnMariaDb::start().await;
    let options = StackOptions {
        mysql: Some(database.url()),
        ..StackOptions::default()
            .with("DATABASE_POOL_SIZE", CONNECTIONS)
            .with("DATABASE_WAIT_SECONDS", "1")
            .with("DATABASE_STATEMENT_SECONDS", "2")
            .with("IDEMPOTENCY_LEASE_SECONDS", "3")
    };
    let mut world = World::start(options).await;
    // Where the records break off just after the mail server's answer, nobody knows it.
    world.terms.mails = &["sent", "unknown"];
    let load = Load::of(PATIENTS, &[world.stack.client.clone()]);
    load.goes_on(SOME).await;

    database.kill();
    noticed(&load).await;
    database.restart().await;
    load.goes_on(SOME).await;

    deadlock(&world, &database).await;
    load.goes_on(SOME).await;

    let held = hold_every_submission(&world).await;
    put_off(&load).await;
    drop(held);
    load.goes_on(SOME).await;

    database.as_root("SET GLOBAL read_only = 1").await;
    put_off(&load).await;
    database.as_root("SET GLOBAL read_only = 0").await;
    load.goes_on(SOME).await;

    for followed in load.stop().await {
        world.promise(followed);
    }
    world.report().await
}

/// More want a connection than there are, while each that has one waits for longer than a caller waits for one.
/// No statement's limit strikes here, so that only the pool itself can put anybody off.
async fn pool_exhausted() -> Report {
    let options = StackOptions::default()
        .with("DATABASE_POOL_SIZE", CONNECTIONS)
        .with("DATABASE_WAIT_SECONDS", "1")
        .with("DATABASE_STATEMENT_SECONDS", "600")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut world = World::start(options).await;
    // A result that cannot be noted in time may have been sent.
    world.terms.mails = &["sent", "unknown"];
    let load = Load::of(MORE, &[world.stack.client.clone()]);
    load.goes_on(SOME).await;

    let held = hold_every_submission(&world).await;
    let (before, put_off) = (refused_by_the_pool(&world), load.put_off());
    crate::eventually("the pool to refuse somebody, who is asked to come again", || async {
        let is_so = refused_by_the_pool(&world) > before && load.put_off() > put_off;
        is_so.then_some(())
    })
    .await;
    drop(held);
    load.goes_on(SOME).await;

    for followed in load.stop().await {
        world.promise(followed);
    }
    world.report().await
}

/// How often the API says that the pool had no connection for a request (`store/src/db/pool.rs`).
fn refused_by_the_pool(world: &World) -> usize {
    let log = world.stack.api.as_ref().expect("runs").log();
    let of_the_pool = |line: &&str| {
        line.contains("request refused")
            && (line.contains("none came free in time") || line.contains("others wait in vain"))
    };
    log.lines().filter(of_the_pool).count()
}

/// Waits until a patient had to repeat a request.
async fn noticed(load: &Load) {
    let before = load.repeated();
    crate::eventually("a patient to notice", || async { (load.repeated() > before).then_some(()) })
        .await;
}

/// Waits until the API has asked a patient to come again.
async fn put_off(load: &Load) {
    let before = load.put_off();
    crate::eventually("the API to put somebody off", || async {
        (load.put_off() > before).then_some(())
    })
    .await;
}

/// Locks rows in the other order than the product does, once somebody of the product waits for them: MySQL
/// ends the transaction that has changed less, which is the product's.
async fn deadlock(world: &World, database: &OwnMariaDb) {
    let mut other = world.stack.database.connect().await;
    let heavy = "CREATE TABLE IF NOT EXISTS ballast (n INT); START TRANSACTION; \
         INSERT INTO ballast SELECT seq FROM seq_1_to_2000; \
         SELECT COUNT(*) FROM submission_counts FOR UPDATE";
    other.batch_execute(heavy).await.expect("holds the counters");
    crate::eventually("a transaction of the product to wait", || async {
        (waiting(database).await > 0).then_some(())
    })
    .await;
    let before = deadlocks(world).await;
    other.batch_execute("SELECT COUNT(*) FROM submissions FOR UPDATE").await.expect("wins");
    other.batch_execute("ROLLBACK; DROP TABLE ballast").await.expect("lets go");
    assert!(deadlocks(world).await > before, "MySQL broke a deadlock");
}

/// How many transactions wait for the lock of a counter.
async fn waiting(database: &OwnMariaDb) -> i64 {
    // What MySQL shows of them stays as it is while somebody asks more than ten times a second.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let waits = "SELECT COUNT(*) FROM information_schema.innodb_trx \
         WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%submission_counts%'";
    database.number(waits).await
}

async fn deadlocks(world: &World) -> i64 {
    let count = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
         WHERE variable_name = 'Innodb_deadlocks'";
    world.stack.database.number(count).await
}

/// Whoever wants to change a submission now waits with its connection.
async fn hold_every_submission(world: &World) -> AsyncMysqlConnection {
    let mut other = world.stack.database.connect().await;
    other.batch_execute("START TRANSACTION").await.expect("begins");
    let locked = diesel::dsl::sql::<BigInt>(
        "SELECT COUNT(*) FROM (SELECT id FROM submissions FOR UPDATE) AS locked",
    );
    let _: i64 = locked.get_result(&mut other).await.expect("locks");
    other.batch_execute("SELECT amount FROM submission_counts FOR UPDATE").await.expect("locks");
    other
}

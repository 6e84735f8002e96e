//! Deletes expired rows in batches: one statement must not hold its locks, nor a connection, for long.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Takes a fraction of a second. Every ten minutes, that is 720,000 rows a day for each process.
const BATCH_SIZE: usize = 5000;

/// Deletes a batch of the oldest rows whose `column`, which needs an index, is older than `age`; returns how many.
pub(crate) async fn delete_expired(
    connection: &mut Connection,
    table: &'static str,
    column: &'static str,
    age: Duration,
) -> StoreResult<usize> {
    let statement = format!(
        "DELETE FROM {table} WHERE {column} < DATE_SUB(NOW(6), INTERVAL {} MICROSECOND) \
         ORDER BY {column} LIMIT {BATCH_SIZE}",
        age.as_micros()
    );
    Ok(diesel::sql_query(statement).execute(connection).await?)
}

//! Removes what is over, a part at a time: one statement must not hold its rows, nor a connection, for long.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Most rows that one sweep removes: a fraction of a second. Every ten minutes, that is 720,000 a day for each
/// process.
const BATCH_SIZE: usize = 5000;

/// Removes the oldest rows of `table` whose time in `column`, which needs an index, was over for longer than
/// `kept`; returns how many. When it is the most that one sweep removes, more are left.
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

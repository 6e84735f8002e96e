//! Deletes expired rows in batches so that no statement holds its locks or connection for long.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Deleting 5000 rows takes a fraction of a second. One batch every ten minutes amounts to 720,000 rows a day.
const BATCH_SIZE: usize = 5000;

/// Deletes a batch of the oldest rows whose time in `column` is more than `age` ago. The column must be indexed.
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

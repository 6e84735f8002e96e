//! How many submissions are in each state?

use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::submission_counts as counts;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

impl Store {
    /// Returns the number of submissions in each state, in the order of [`Status::ALL`]. Deleted submissions are not
    /// included.
    ///
    /// Plan: scan of `submission_counts`, which has 192 rows.
    pub async fn count_by_status(&self) -> StoreResult<Vec<(Status, i64)>> {
        let counts: Vec<(Status, i64)> = counts::table
            .filter(counts::deleted.eq(0))
            .group_by(counts::status)
            .select((counts::status, sql::<BigInt>("CAST(SUM(amount) AS SIGNED)")))
            .load(&mut self.connection().await?)
            .await?;
        let count = |status| counts.iter().find(|(counted, _)| *counted == status);
        let count = |status| count(status).map_or(0, |(_, count)| *count);
        Ok(Status::ALL.iter().map(|status| (*status, count(*status))).collect())
    }
}

//! How many submissions were received in each hour?

use crate::db::clock::now as db_now;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourlyCount {
    /// Start of the hour.
    pub hour: UtcTime,
    pub received: i64,
}

impl Store {
    /// Returns the number of submissions received in each of the last `hours` hours, oldest first. The last hour is the
    /// current one. Deleted submissions are included.
    ///
    /// Plan: range scan of `listed_by_time`, covering, limited to the window.
    pub async fn submissions_per_hour(&self, hours: u16) -> StoreResult<Vec<HourlyCount>> {
        let mut connection = self.connection().await?;
        let now: UtcTime = diesel::select(db_now()).get_result(&mut connection).await?;
        let current = now.micros().div_euclid(HOUR_MICROS);
        let hours = current - i64::from(hours) + 1..=current;
        let start = start_of(*hours.start());
        let hour = || sql::<BigInt>("UNIX_TIMESTAMP(created_at) DIV 3600");
        let counts: Vec<(i64, i64)> = submissions::table
            .filter(submissions::created_at.ge(start))
            .group_by(hour())
            .select((hour(), count_star()))
            .load(&mut connection)
            .await?;
        let counts: HashMap<_, _> = counts.into_iter().collect();
        let count = |hour| counts.get(&hour).copied().unwrap_or_default();
        Ok(hours.map(|hour| HourlyCount { hour: start_of(hour), received: count(hour) }).collect())
    }
}

fn start_of(hour: i64) -> UtcTime {
    UtcTime::from_micros(hour * HOUR_MICROS).unwrap_or_default()
}

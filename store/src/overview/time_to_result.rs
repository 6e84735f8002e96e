//! How long do patients wait for their result?

use crate::db::clock::before;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::submissions;
use crate::overview::DAY;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Times from the receipt of submissions to their results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeToResult {
    /// Number of submissions that the times are computed from.
    pub submissions: usize,
    pub median: Duration,
    pub p95: Duration,
}

impl Store {
    /// Returns the times of the `limit` newest submissions completed within the last 24 hours, or `None` if there are
    /// none. Submissions that staff have retried are not included, because their times depend on when staff retried
    /// them.
    ///
    /// Plan: range scan of `submissions_by_end` from its end, covering, limited to the window and to `limit` entries.
    pub async fn time_to_result(&self, limit: i64) -> StoreResult<Option<TimeToResult>> {
        let micros: Vec<i64> = submissions::table
            .filter(submissions::status.eq(Status::Completed))
            .filter(submissions::finished_at.gt(before(DAY).nullable()))
            .filter(submissions::run_number.eq(1))
            .order(submissions::finished_at.desc())
            .limit(limit)
            .select(sql::<BigInt>("TIMESTAMPDIFF(MICROSECOND, created_at, finished_at)"))
            .load(&mut self.connection().await?)
            .await?;
        let times = micros.into_iter().map(|micros| u64::try_from(micros).unwrap_or_default());
        Ok(summarize(times.map(Duration::from_micros).collect()))
    }
}

fn summarize(mut times: Vec<Duration>) -> Option<TimeToResult> {
    times.sort();
    // Nearest-rank percentiles are times that a patient has actually waited.
    let percentile = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100);
        times.get(rank.saturating_sub(1)).copied()
    };
    Some(TimeToResult { submissions: times.len(), median: percentile(50)?, p95: percentile(95)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_of_actual_submissions() {
        let summary = |seconds: &[u64]| {
            let times = seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
            summarize(times).map(|it| (it.submissions, it.median.as_secs(), it.p95.as_secs()))
        };
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[7]), Some((1, 7, 7)));
        assert_eq!(summary(&[9, 1]), Some((2, 1, 9)));
        let hundred: Vec<_> = (1..=100).rev().collect();
        assert_eq!(summary(&hundred), Some((100, 50, 95)));
    }
}

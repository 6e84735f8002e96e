//! How many submissions failed, and why?

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::submissions;
use crate::overview::{DAY, WEEK};
use crate::submissions::status::Status;
use diesel::dsl::{count_star, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

/// Outcomes of the submissions that ended within a time window. A submission that was retried counts only once it has
/// ended again. Cancelled submissions are not included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    pub completed: i64,
    /// Number of *failed* and *timed_out* submissions by error code, most frequent first.
    pub failures: Vec<(String, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    pub last_day: OutcomeCounts,
    pub last_week: OutcomeCounts,
}

impl OutcomeCounts {
    pub fn failed(&self) -> i64 {
        self.failures.iter().map(|(_, count)| count).sum()
    }
}

impl Store {
    /// Returns the outcomes of the last 24 hours and of the last 7 days.
    ///
    /// Plan: range scans of `submissions_by_end`, covering, limited to the window.
    pub async fn outcomes(&self) -> StoreResult<Outcomes> {
        let mut connection = self.connection().await?;
        let (completed_in_week, completed_in_day) = completed(&mut connection).await?;
        let failures = failures(&mut connection).await?;
        let by_code = |count: fn(&(String, i64, i64)) -> i64| {
            let counted = failures.iter().map(|row| (row.0.clone(), count(row)));
            let mut counted: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
            counted.sort_by(|(code, count), (other_code, other)| {
                other.cmp(count).then_with(|| code.cmp(other_code))
            });
            counted
        };
        Ok(Outcomes {
            last_day: OutcomeCounts { completed: completed_in_day, failures: by_code(|row| row.2) },
            last_week: OutcomeCounts {
                completed: completed_in_week,
                failures: by_code(|row| row.1),
            },
        })
    }
}

async fn completed(connection: &mut Connection) -> StoreResult<(i64, i64)> {
    let counts = submissions::table
        .filter(submissions::status.eq(Status::Completed))
        .filter(submissions::finished_at.gt(before(WEEK).nullable()))
        .select((count_star(), ended_within_a_day()))
        .first(connection)
        .await?;
    Ok(counts)
}

/// Returns the number of failures within a week and within a day, by error code.
async fn failures(connection: &mut Connection) -> StoreResult<Vec<(String, i64, i64)>> {
    let counts: Vec<(Option<String>, i64, i64)> = submissions::table
        .filter(submissions::status.eq_any([Status::Failed, Status::TimedOut]))
        .filter(submissions::finished_at.gt(before(WEEK).nullable()))
        .group_by(submissions::error_code)
        .select((submissions::error_code, count_star(), ended_within_a_day()))
        .load(connection)
        .await?;
    // Every failed submission has an error code. A condition in SQL could make the database choose `listed_by_error`.
    let counts = counts.into_iter().filter_map(|(code, week, day)| Some((code?, week, day)));
    Ok(counts.collect())
}

fn ended_within_a_day() -> SqlLiteral<BigInt> {
    sql(&format!(
        "CAST(COALESCE(SUM(finished_at > NOW(6) - INTERVAL {} SECOND), 0) AS SIGNED)",
        DAY.as_secs()
    ))
}

//! Submissions that need an operator to proceed: those whose workflow tasks fail on every attempt, and those still open
//! long after their deadline.

use crate::db::clock::{before, now};
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{runs, submissions};
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

impl Store {
    /// Records that a submission's newest run is stuck. Returns `false` if this was already recorded.
    pub async fn mark_stuck(&self, id: SubmissionId, cause: &str) -> StoreResult<bool> {
        let row = submissions::table.find(id).filter(submissions::stuck_since.is_null());
        let changed = diesel::update(row)
            .set((
                submissions::stuck_since.eq(now().nullable()),
                submissions::stuck_cause.eq(cause),
            ))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(changed == 1)
    }

    /// Records that a submission's newest run is no longer stuck.
    pub async fn clear_stuck(&self, id: SubmissionId) -> StoreResult<()> {
        diesel::update(submissions::table.find(id))
            .set((
                submissions::stuck_since.eq(None::<UtcTime>),
                submissions::stuck_cause.eq(None::<String>),
            ))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    pub async fn is_marked_stuck(&self, id: SubmissionId) -> StoreResult<bool> {
        let since: Option<Option<UtcTime>> = submissions::table
            .find(id)
            .select(submissions::stuck_since)
            .first(&mut self.connection().await?)
            .await
            .optional()?;
        Ok(since.flatten().is_some())
    }

    /// Returns up to `limit` submissions with a stuck run, starting with those stuck the longest. `after` is the last
    /// submission of the previous call.
    pub async fn stuck_submissions(
        &self,
        after: Option<(UtcTime, SubmissionId)>,
        limit: i64,
    ) -> StoreResult<Vec<(UtcTime, SubmissionId)>> {
        let (since, id) =
            after.map_or_else(Default::default, |(since, id)| (since, id.to_string()));
        let found: Vec<(Option<UtcTime>, SubmissionId)> = submissions::table
            .filter(submissions::stuck_since.ge(since))
            .filter(submissions::stuck_since.gt(since).or(submissions::id.gt(id).nullable()))
            .order((submissions::stuck_since, submissions::id))
            .limit(limit)
            .select((submissions::stuck_since, submissions::id))
            .load(&mut self.connection().await?)
            .await?;
        Ok(found.into_iter().filter_map(|(since, id)| Some((since?, id))).collect())
    }

    pub async fn count_stuck(&self) -> StoreResult<i64> {
        let count = submissions::table
            .filter(submissions::stuck_since.is_not_null())
            .count()
            .get_result(&mut self.connection().await?)
            .await?;
        Ok(count)
    }

    /// Returns the number of submissions whose newest run was created more than `age` ago and has not ended.
    pub async fn count_overdue(&self, age: Duration) -> StoreResult<i64> {
        let newest =
            runs::submission_id.eq(submissions::id).and(runs::number.eq(submissions::run_number));
        let mut connection = self.connection().await?;
        let mut total = 0;
        // An index finds submissions by age within one state, but not across both states.
        for status in [Status::Pending, Status::Processing] {
            total += submissions::table
                .inner_join(runs::table.on(newest))
                .filter(submissions::status.eq(status))
                // A run is never older than its submission.
                .filter(submissions::created_at.le(before(age)))
                .filter(runs::created_at.le(before(age)))
                .count()
                .get_result::<i64>(&mut connection)
                .await?;
        }
        Ok(total)
    }
}

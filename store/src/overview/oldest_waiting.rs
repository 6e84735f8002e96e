//! Which submission has been waiting longest for LoopAI?

use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{runs, submissions};
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestWaiting {
    pub submission: SubmissionId,
    /// Time at which the newest run was created: when the submission was received or retried.
    pub since: UtcTime,
    /// `None` while the run is queued to be started in Temporal.
    pub started_at: Option<UtcTime>,
}

impl Store {
    /// Returns the *pending* submission whose newest run is the oldest.
    ///
    /// Plan: range scan of the *pending* submissions in `submissions_by_end`, covering, and lookup of their newest runs
    /// by primary key. The number of *pending* submissions does not depend on the size of the table.
    pub async fn oldest_waiting(&self) -> StoreResult<Option<OldestWaiting>> {
        let newest =
            runs::submission_id.eq(submissions::id).and(runs::number.eq(submissions::run_number));
        let found: Option<(SubmissionId, UtcTime, Option<UtcTime>)> = submissions::table
            .inner_join(runs::table.on(newest))
            .filter(submissions::status.eq(Status::Pending))
            .order(runs::created_at)
            .limit(1)
            .select((submissions::id, runs::created_at, runs::started_at))
            .first(&mut self.connection().await?)
            .await
            .optional()?;
        Ok(found.map(|(submission, since, started_at)| OldestWaiting {
            submission,
            since,
            started_at,
        }))
    }
}

//! The rows of runs.

use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::runs;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// A stored run.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// Number within the submission, from 1.
    pub number: i32,
    /// Temporal's name for it; none while it waits to be started.
    pub temporal_run_id: Option<String>,
    /// LoopAI's name for what it runs for us.
    pub loopai_execution_id: Option<String>,
    /// When it was queued (UTC).
    pub created_at: UtcTime,
    /// When it was started (UTC).
    pub started_at: Option<UtcTime>,
    /// When LoopAI took it (UTC).
    pub requested_at: Option<UtcTime>,
    /// When it ended (UTC).
    pub finished_at: Option<UtcTime>,
    /// When staff called it off (UTC).
    pub cancel_requested_at: Option<UtcTime>,
}

impl Store {
    /// The runs of a submission, deleted or not, oldest first. Each has one at least: none is there when
    /// there is no such submission.
    pub async fn runs(&self, submission: SubmissionId) -> StoreResult<Vec<Run>> {
        let mut connection = self.connection().await?;
        let found = runs::table
            .filter(runs::submission_id.eq(submission))
            .order(runs::number)
            .select(Run::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }
}

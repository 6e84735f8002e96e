//! Rows of the `runs` table.

use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::runs;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// Number of the run within its submission, starting at 1.
    pub number: i32,
    /// `None` while the run is queued.
    pub temporal_run_id: Option<String>,
    pub loopai_execution_id: Option<String>,
    pub created_at: UtcTime,
    pub started_at: Option<UtcTime>,
    pub requested_at: Option<UtcTime>,
    pub finished_at: Option<UtcTime>,
    pub cancel_requested_at: Option<UtcTime>,
}

impl Store {
    /// Returns a submission's runs, oldest first. Every submission has at least one run.
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

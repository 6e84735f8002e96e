//! Hides deleted and erased submissions.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::submissions::counters;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Hides a submission, or makes it visible again, and updates the counters. The caller must hold the submission's lock,
/// and must have read its state and that it is not deleted (or not visible) yet.
pub(crate) async fn set_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
    deleted: bool,
) -> StoreResult<()> {
    let row = submissions::table.find(submission);
    if deleted {
        let set = submissions::deleted_at.eq(now().nullable());
        diesel::update(row).set(set).execute(connection).await?;
    } else {
        let set = submissions::deleted_at.eq(None::<UtcTime>);
        diesel::update(row).set(set).execute(connection).await?;
    }
    counters::count_deleted(connection, submission, status, deleted).await
}

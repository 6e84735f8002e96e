//! The row of a submission, and its lock.

use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{SubmissionId, UserId};
use crate::db::pool::Store;
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// A stored submission.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct Submission {
    /// Its name.
    pub id: SubmissionId,
    /// Where the result goes.
    pub email: EmailAddress,
    /// What the patient wrote; may be empty.
    pub comments: String,
    /// Where it stands.
    pub status: Status,
    /// Version of the consent text that was agreed to.
    pub consent_version: String,
    /// When consent was given (UTC).
    pub consent_at: UtcTime,
    /// Its newest run.
    pub run_number: i32,
    /// Number of its newest event.
    pub last_event: i32,
    /// Why it failed, as a stable code.
    pub error_code: Option<String>,
    /// Why it failed, for staff.
    pub error_detail: Option<String>,
    /// When it was received (UTC).
    pub created_at: UtcTime,
    /// When anything about it changed last (UTC).
    pub updated_at: UtcTime,
    /// When it reached its present final state (UTC).
    pub finished_at: Option<UtcTime>,
    /// The account that sent it, where there is one.
    pub submitted_by: Option<UserId>,
    /// When staff deleted it (UTC); then it is gone for everybody else.
    pub deleted_at: Option<UtcTime>,
}

impl Store {
    /// Reads a submission.
    pub async fn submission(&self, id: SubmissionId) -> StoreResult<Option<Submission>> {
        let mut connection = self.connection().await?;
        let found = submissions::table
            .find(id)
            .select(Submission::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }
}

/// Locks a submission's row; tells where it stands and its newest run.
pub(crate) async fn lock(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Option<(Status, i32)>> {
    let found = submissions::table
        .find(submission)
        .select((submissions::status, submissions::run_number))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

/// Locks a submission that is not deleted; tells where it stands and its newest run.
pub(crate) async fn lock_not_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Option<(Status, i32)>> {
    let found = submissions::table
        .find(submission)
        .filter(submissions::deleted_at.is_null())
        .select((submissions::status, submissions::run_number))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

/// Whether a submission is deleted. For whoever holds its lock.
pub(crate) async fn is_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<bool> {
    let deleted: Option<bool> = submissions::table
        .find(submission)
        .select(submissions::deleted_at.is_not_null())
        .first(connection)
        .await
        .optional()?;
    Ok(deleted.unwrap_or(false))
}

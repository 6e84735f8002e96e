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

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct Submission {
    pub id: SubmissionId,
    pub email: EmailAddress,
    pub comments: String,
    pub status: Status,
    pub consent_version: String,
    pub consent_at: UtcTime,
    pub run_number: i32,
    pub last_event: i32,
    pub error_code: Option<String>,
    /// For staff.
    pub error_detail: Option<String>,
    pub created_at: UtcTime,
    pub updated_at: UtcTime,
    /// When the submission reached its current final state.
    pub finished_at: Option<UtcTime>,
    /// `None` for an anonymous submission.
    pub submitted_by: Option<UserId>,
    /// A deleted submission is visible only to staff.
    pub deleted_at: Option<UtcTime>,
    /// The address that the patient entered, if staff have corrected it.
    pub original_email: Option<EmailAddress>,
    /// For staff.
    pub note: Option<String>,
    /// The account that takes care of the submission.
    pub assignee: Option<UserId>,
    /// Counts the changes that staff made to the address, the note and the assignee.
    pub revision: i32,
}

impl Submission {
    /// In characters.
    pub const MAX_NOTE_LENGTH: usize = 1000;
}

impl Store {
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

/// Locks a submission; returns its state and newest run.
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

/// Reliable only under the submission's lock.
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

//! A submission's row and its lock.

use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{SubmissionId, UserId};
use crate::db::pool::Store;
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::submissions::language::StoredLanguage;
use crate::submissions::status::Status;
use diagflow_locales::Language;
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
    /// Details of the error, for staff.
    pub error_detail: Option<String>,
    pub created_at: UtcTime,
    pub updated_at: UtcTime,
    /// Time at which the submission reached its current final state.
    pub finished_at: Option<UtcTime>,
    /// `None` for an anonymous submission.
    pub submitted_by: Option<UserId>,
    /// A deleted submission is visible only to staff.
    pub deleted_at: Option<UtcTime>,
    /// An erased submission is also deleted, and its personal data has been replaced with placeholders.
    pub erased_at: Option<UtcTime>,
    /// The address the patient originally entered, if staff have since corrected it; otherwise `None`.
    pub original_email: Option<EmailAddress>,
    pub note: Option<String>,
    pub assignee: Option<UserId>,
    /// Number of changes staff have made to the address, the note and the assignee.
    pub revision: i32,
    /// Time since which every attempt at the newest run's workflow task has failed.
    pub stuck_since: Option<UtcTime>,
    pub stuck_cause: Option<String>,
    /// A revoked access token never becomes valid again.
    pub token_revoked_at: Option<UtcTime>,
    /// Language of the e-mails to the patient.
    #[diesel(deserialize_as = StoredLanguage)]
    pub language: Language,
}

impl Submission {
    /// Maximum length of a note, in characters.
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

    /// Returns `false` if the submission does not exist.
    pub async fn is_token_revoked(&self, id: SubmissionId) -> StoreResult<bool> {
        let mut connection = self.connection().await?;
        let revoked: Option<bool> = submissions::table
            .find(id)
            .select(submissions::token_revoked_at.is_not_null())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(revoked.unwrap_or(false))
    }
}

/// Locks a submission and returns its state and the number of its newest run.
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

/// The result is reliable only while the caller holds the submission's lock.
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

/// The result is reliable only while the caller holds the submission's lock.
pub(crate) async fn is_erased(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<bool> {
    let erased: Option<bool> = submissions::table
        .find(submission)
        .select(submissions::erased_at.is_not_null())
        .first(connection)
        .await
        .optional()?;
    Ok(erased.unwrap_or(false))
}

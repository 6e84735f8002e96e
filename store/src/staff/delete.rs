//! Deletes and restores submissions. The data is retained, but a deleted submission is visible only to staff who
//! explicitly request deleted submissions.

use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::{Store, transaction};
use crate::deliveries::plan;
use crate::submissions::deletion;
use crate::submissions::events;
use crate::submissions::row::{is_deleted, is_erased, lock};
use crate::submissions::status::Status;
use crate::submissions::steps::Step;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    Done,
    Unchanged,
    NotFinal(Status),
    /// An erased submission cannot be restored.
    Erased,
    NotFound,
}

impl Store {
    /// Deletes a submission that has ended, and cancels its planned e-mails. These e-mails stay cancelled even if the
    /// submission is restored. An e-mail whose message text is already being sent is not cancelled.
    pub async fn delete_submission(
        &self,
        submission: SubmissionId,
        entry: &NewAuditEntry,
    ) -> StoreResult<DeleteOutcome> {
        self.set_deleted(submission, true, entry).await
    }

    pub async fn restore_submission(
        &self,
        submission: SubmissionId,
        entry: &NewAuditEntry,
    ) -> StoreResult<DeleteOutcome> {
        self.set_deleted(submission, false, entry).await
    }

    async fn set_deleted(
        &self,
        submission: SubmissionId,
        delete: bool,
        entry: &NewAuditEntry,
    ) -> StoreResult<DeleteOutcome> {
        transaction!(self, connection => {
            let Some((status, _)) = lock(connection, submission).await? else {
                return Ok(DeleteOutcome::NotFound);
            };
            if !delete && is_erased(connection, submission).await? {
                return Ok(DeleteOutcome::Erased);
            }
            if is_deleted(connection, submission).await? == delete {
                log::append(connection, &entry.clone().with_result(UNCHANGED)).await?;
                return Ok(DeleteOutcome::Unchanged);
            }
            if !status.is_final() {
                return Ok(DeleteOutcome::NotFinal(status));
            }
            deletion::set_deleted(connection, submission, status, delete).await?;
            let step = if delete { Step::Deleted } else { Step::Restored };
            events::append(connection, submission, status, &[step]).await?;
            if delete {
                plan::cancel_for_deleted(connection, submission).await?;
            }
            log::append(connection, entry).await?;
            Ok(DeleteOutcome::Done)
        })
    }
}

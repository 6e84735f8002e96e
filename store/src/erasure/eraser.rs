//! Erases submissions: a single transaction removes the data, and then the files' bytes are deleted.

use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::audit::seal::AuditKey;
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::failpoint::Failpoint;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::erasures;
use crate::db::utc_time::UtcTime;
use crate::erasure::log::ErasureLog;
use crate::erasure::receipt::{ErasedBy, ErasureContent, ErasureReceipt, ReceiptKey};
use crate::erasure::receipt_writer::ReceiptWriter;
use crate::erasure::remove::{remove_data, stop_emails};
use crate::erasure::retention::{RetentionPeriod, is_expired};
use crate::files::blobs::BlobStore;
use crate::runs::cancellation;
use crate::runs::transitions::{self, RunEnd};
use crate::submissions::counters;
use crate::submissions::deletion;
use crate::submissions::events;
use crate::submissions::row::{is_deleted, lock};
use crate::submissions::status::Status;
use crate::submissions::steps::Step;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::io;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("{}", .0.kind())]
    Store(#[from] StoreError),
    /// Nothing was erased.
    #[error("cannot write the erasure log: {0}")]
    Log(io::Error),
}

impl EraseError {
    /// Whether the erasure of any other submission would fail as well.
    pub fn concerns_all(&self) -> bool {
        matches!(self, EraseError::Log(_) | EraseError::Store(StoreError::Unavailable(_)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EraseOutcome {
    Erased(Erasure),
    /// The submission had already been erased. The receipt is from the first erasure.
    Unchanged(Erasure),
    /// The text of an e-mail is being sent, so nothing was changed. Try again once the sender's claim has expired.
    EmailInProgress {
        left: Duration,
    },
    NotFound,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    pub receipt: ErasureReceipt,
    /// Number of files whose bytes could not be deleted yet. The sweep of orphaned files deletes them later.
    pub pending_files: usize,
}

pub(super) struct EraseRequest<'a> {
    pub(super) submission: SubmissionId,
    pub(super) reason: &'a str,
    pub(super) entry: &'a NewAuditEntry,
    /// The original receipt, if the erasure is being repeated in a restored database.
    pub(super) original: Option<&'a ErasureReceipt>,
    /// If set, the submission is erased only if this period is over; otherwise, it is reported as not found.
    pub(super) retention: Option<RetentionPeriod>,
}

/// What an erasure's transaction recorded.
enum Recorded {
    Receipt { receipt: Box<ErasureReceipt>, is_new: bool },
    EmailInProgress { left: Duration },
    NotFound,
}

/// Erases submissions. Cheap to clone.
#[derive(Clone)]
pub struct Eraser {
    pub(super) store: Store,
    blobs: BlobStore,
    receipt_key: ReceiptKey,
    pub(super) audit_key: AuditKey,
    log: Option<ErasureLog>,
}

impl Eraser {
    /// Every erasure is appended to `log`, if given.
    pub fn new(
        store: Store,
        blobs: BlobStore,
        receipt_key: ReceiptKey,
        audit_key: AuditKey,
        log: Option<ErasureLog>,
    ) -> Self {
        Self { store, blobs, receipt_key, audit_key, log }
    }

    /// Removes all of a submission's personal data. An open run is cancelled without notifying the patient. If the call
    /// fails or the process dies, repeat the call: it continues where the first one stopped and returns the same
    /// receipt.
    pub async fn erase(
        &self,
        submission: SubmissionId,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> Result<EraseOutcome, EraseError> {
        let (original, retention) = (None, None);
        self.run(EraseRequest { submission, reason, entry, original, retention }).await
    }

    /// Repeats an erasure after the database or the files have been restored from a backup. The submission keeps the
    /// original receipt.
    pub async fn replay(
        &self,
        original: &ErasureReceipt,
        entry: &NewAuditEntry,
    ) -> Result<EraseOutcome, EraseError> {
        let ErasureContent { submission_id, reason, removed, .. } = &original.content;
        // The bytes may have been restored even if the database does not contain the files.
        let digests: Vec<_> = removed.files.iter().map(|file| file.sha256).collect();
        self.store.reserve_erased_files(&digests).await?;
        let outcome = self
            .run(EraseRequest {
                submission: *submission_id,
                reason,
                entry,
                original: Some(original),
                retention: None,
            })
            .await?;
        if outcome == EraseOutcome::NotFound {
            self.delete_bytes(original).await;
        }
        Ok(outcome)
    }

    pub(super) async fn run(&self, request: EraseRequest<'_>) -> Result<EraseOutcome, EraseError> {
        let (receipt, is_new) = match self.record(&request).await? {
            Recorded::Receipt { receipt, is_new } => (receipt, is_new),
            Recorded::EmailInProgress { left } => {
                return Ok(EraseOutcome::EmailInProgress { left });
            }
            Recorded::NotFound => return Ok(EraseOutcome::NotFound),
        };
        Failpoint::AfterErasureCommit.pass().await;
        let pending_files = self.delete_bytes(&receipt).await;
        Failpoint::AfterErasedFilesDeleted.pass().await;
        let erasure = Erasure { receipt: *receipt, pending_files };
        Ok(if is_new { EraseOutcome::Erased(erasure) } else { EraseOutcome::Unchanged(erasure) })
    }

    /// Returns the number of files that could not be deleted.
    async fn delete_bytes(&self, receipt: &ErasureReceipt) -> usize {
        let mut pending = 0;
        for file in &receipt.content.removed.files {
            match self.store.delete_erased_file(&self.blobs, file.sha256).await {
                Ok(true) => {}
                Ok(false) => pending += 1,
                Err(error) => {
                    tracing::warn!(error = error.kind(), "cannot delete an erased file");
                    pending += 1;
                }
            }
        }
        pending
    }

    async fn record(&self, request: &EraseRequest<'_>) -> Result<Recorded, EraseError> {
        let EraseRequest { submission, reason, original, retention, .. } = *request;
        let entry = NewAuditEntry { object_id: submission.to_string(), ..request.entry.clone() };
        let entry = entry.with("reason", reason);
        // The log already contains the receipt of a repeated erasure.
        let log = self.log.as_ref().filter(|_| original.is_none());
        let writer = ReceiptWriter::begin(&self.receipt_key, log).await.map_err(EraseError::Log)?;
        let store = &self.store;
        let recorded = transaction!(store, connection => {
            let Some((status, number)) = lock(connection, submission).await? else {
                return Ok(Recorded::NotFound);
            };
            if let Some(period) = retention && !is_expired(connection, submission, period).await? {
                return Ok(Recorded::NotFound);
            }
            if let Some(receipt) = find_receipt(connection, submission).await? {
                log::append(connection, &entry.clone().with_result(UNCHANGED)).await?;
                return Ok(Recorded::Receipt { receipt, is_new: false });
            }
            if let Some(left) = stop_emails(connection, submission).await? {
                return Ok(Recorded::EmailInProgress { left });
            }
            let content = ErasureContent {
                submission_id: submission,
                erased_at: database_time(connection).await?.to_string(),
                erased_by: ErasedBy::of(&entry.actor),
                reason: reason.to_owned(),
                removed: remove_data(connection, submission).await?,
            };
            let receipt = match original {
                Some(original) => original.clone(),
                None => writer.write(content).await?,
            };
            let receipt = Box::new(receipt);
            // Writing to the log can take seconds, so rows that other submissions' transactions need as well, such as
            // the counters, are locked only afterwards.
            let status = cancel_open_run(connection, RunKey { submission, number }, status).await?;
            hide(connection, submission, status).await?;
            insert_receipt(connection, &receipt).await?;
            log::append(connection, &audit_entry(&entry, &receipt)).await?;
            Failpoint::BeforeErasureCommit.pass().await;
            Ok(Recorded::Receipt { receipt, is_new: true })
        });
        match writer.into_error() {
            Some(error) => Err(EraseError::Log(error)),
            None => Ok(recorded?),
        }
    }
}

/// Ends an open run as *cancelled*, without an event or an e-mail, so that the run's activities can no longer change
/// the submission. Returns the submission's state. The reconciler passes the cancellation to Temporal.
async fn cancel_open_run(
    connection: &mut Connection,
    run: RunKey,
    status: Status,
) -> StoreResult<Status> {
    if status.is_final() {
        return Ok(status);
    }
    cancellation::request(connection, run).await?;
    let end = RunEnd::cancelled();
    let cancelled = end.status.final_status();
    let changed =
        transitions::change_status(connection, run, status, cancelled, Some(&end)).await?;
    counters::expect_one_row(usize::from(changed), run.submission, status, cancelled)?;
    Ok(cancelled)
}

/// Hides the submission like a deleted one, and appends its last event.
async fn hide(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
) -> StoreResult<()> {
    if !is_deleted(connection, submission).await? {
        deletion::set_deleted(connection, submission, status, true).await?;
    }
    events::append(connection, submission, status, &[Step::Erased]).await
}

async fn database_time(connection: &mut Connection) -> StoreResult<UtcTime> {
    Ok(diesel::select(now()).get_result(connection).await?)
}

async fn find_receipt(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Option<Box<ErasureReceipt>>> {
    let text: Option<String> = erasures::table
        .find(submission)
        .select(erasures::receipt)
        .first(connection)
        .await
        .optional()?;
    let parse = |text: String| {
        serde_json::from_str(&text)
            .map_err(|error| StoreError::Corrupt(format!("receipt of {submission}: {error}")))
    };
    text.map(parse).transpose()
}

async fn insert_receipt(connection: &mut Connection, receipt: &ErasureReceipt) -> StoreResult<()> {
    let text = serde_json::to_string(receipt)
        .map_err(|error| StoreError::Corrupt(format!("receipt: {error}")))?;
    diesel::insert_into(erasures::table)
        .values((
            erasures::submission_id.eq(receipt.content.submission_id),
            erasures::receipt.eq(text),
            erasures::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The audit entry contains only numbers because the receipt contains the details.
fn audit_entry(entry: &NewAuditEntry, receipt: &ErasureReceipt) -> NewAuditEntry {
    let removed = &receipt.content.removed;
    entry
        .clone()
        .with("files", removed.files.len())
        .with("results", removed.results)
        .with("receipt", receipt.signature.as_str())
}

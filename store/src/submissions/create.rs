//! Stores a new submission in one transaction.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::{StoreError, StoreResult};
use crate::db::failpoint::Failpoint;
use crate::db::ids::{FIRST_RUN, SubmissionId, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{runs, submissions};
use crate::files::orphans;
use crate::files::records::{self, NewFile};
use crate::submissions::counters;
use crate::submissions::events;
use crate::submissions::idempotency::{self, IdempotencyClaim};
use crate::submissions::recipient_limits::{ExceededLimit, RecipientLimits};
use crate::submissions::status::Status;
use crate::submissions::steps::Step;
use diagflow_locales::Language;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The patient's consent counts as given at the time the submission is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub version: String,
}

#[derive(Debug, Clone)]
pub struct NewSubmission {
    pub id: SubmissionId,
    pub email: EmailAddress,
    pub comments: String,
    pub consent: Consent,
    /// Language of the e-mails to the patient.
    pub language: Language,
    pub files: Vec<NewFile>,
    /// How long only the process that stored the submission may start its first run.
    pub start_grace: Duration,
    pub submitted_by: Option<UserId>,
    pub audit_entry: Option<NewAuditEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    Created,
    /// Another request has taken over the claim on the idempotency key.
    ClaimLost,
    LimitExceeded(ExceededLimit),
}

impl Store {
    /// Stores a submission with its files, first run, first event and audit entry, and completes the claim on its
    /// idempotency key. The caller must first reserve ([`Store::reserve_blobs`]) and store the files' bytes.
    ///
    /// Nothing is stored unless this call returns [`CreateOutcome::Created`] or fails with
    /// [`StoreError::CommitUnknown`].
    pub async fn create_submission(
        &self,
        new: &NewSubmission,
        limits: RecipientLimits,
        claim: Option<&IdempotencyClaim>,
    ) -> StoreResult<CreateOutcome> {
        let is_written = AtomicBool::new(false);
        let outcome = transaction!(self, connection => {
            if let Some(exceeded) = limits.check(connection, new.email.recipient()).await? {
                return Ok(CreateOutcome::LimitExceeded(exceeded));
            }
            insert(connection, new).await?;
            if let Some(claim) = claim
                && !idempotency::settle(connection, claim, new.id).await?
            {
                return Err(StoreError::Database(diesel::result::Error::RollbackTransaction));
            }
            if let Some(entry) = &new.audit_entry {
                log::append(connection, entry).await?;
            }
            Failpoint::BeforeSubmissionCommit.pass().await;
            is_written.store(true, Ordering::Relaxed);
            Ok(CreateOutcome::Created)
        });
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(StoreError::Database(diesel::result::Error::RollbackTransaction)) => {
                Ok(CreateOutcome::ClaimLost)
            }
            Err(error) if is_written.into_inner() => Err(StoreError::CommitUnknown(error.kind())),
            Err(error) => Err(error),
        }
    }
}

async fn insert(connection: &mut Connection, new: &NewSubmission) -> StoreResult<()> {
    diesel::insert_into(submissions::table)
        .values((
            submissions::id.eq(new.id),
            submissions::email.eq(&new.email),
            submissions::recipient.eq(new.email.recipient()),
            submissions::comments.eq(&new.comments),
            submissions::status.eq(Status::Pending),
            submissions::consent_version.eq(&new.consent.version),
            submissions::consent_at.eq(now()),
            submissions::run_number.eq(FIRST_RUN),
            submissions::last_event.eq(0),
            submissions::created_at.eq(now()),
            submissions::updated_at.eq(now()),
            submissions::submitted_by.eq(new.submitted_by),
            submissions::language.eq(new.language.tag()),
        ))
        .execute(connection)
        .await?;
    let digests: Vec<_> = new.files.iter().map(|file| file.sha256).collect();
    orphans::attach(connection, &digests).await?;
    records::insert(connection, new.id, &new.files).await?;
    diesel::insert_into(runs::table)
        .values((
            runs::submission_id.eq(new.id),
            runs::number.eq(FIRST_RUN),
            runs::start_after.eq(after(new.start_grace)),
            runs::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    events::append(connection, new.id, Status::Pending, &[Step::Received]).await?;
    counters::count_created(connection, new.id).await
}

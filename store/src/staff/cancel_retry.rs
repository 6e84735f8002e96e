//! Cancels or retries one submission. Each action and its audit entry are written in one transaction.

use crate::audit::entry::{IN_PROGRESS, UNCHANGED};
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::runs;
use crate::deliveries::standalone;
use crate::runs::cancellation::{self, CancelRequest};
use crate::runs::transitions::{self, RunEnd};
use crate::submissions::row::lock_not_deleted;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The run has started, so Temporal must cancel it.
    Requested(RunKey),
    Cancelled,
    Final(Status),
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOutcome {
    Queued(RunKey),
    InProgress(RunKey),
    NotFound,
}

impl Store {
    /// Cancels a submission's newest run. A run that has not been started in Temporal ends immediately, without a
    /// request to LoopAI. For any other run, the cancellation is stored until Temporal has accepted it
    /// ([`Store::claim_cancellations`]).
    pub async fn request_cancel(
        &self,
        submission: SubmissionId,
        entry: &NewAuditEntry,
    ) -> StoreResult<CancelOutcome> {
        transaction!(self, connection => {
            let Some((status, number)) = lock_not_deleted(connection, submission).await? else {
                return Ok(CancelOutcome::NotFound);
            };
            let run = RunKey { submission, number };
            let (outcome, entry) = match status {
                Status::Cancelled => (CancelOutcome::Cancelled, entry.clone().with_result(UNCHANGED)),
                status if status.is_final() => return Ok(CancelOutcome::Final(status)),
                active => match cancel_run(connection, run, active).await? {
                    (outcome, true) => (outcome, entry.clone()),
                    (outcome, false) => (outcome, entry.clone().with_result(IN_PROGRESS)),
                },
            };
            log::append(connection, &entry).await?;
            Ok(outcome)
        })
    }

    /// Queues a new run for a submission that has ended. The caller starts the run; after `start_grace`, sweeps may
    /// also start it. Cancels planned e-mails from earlier runs.
    pub async fn retry_submission(
        &self,
        submission: SubmissionId,
        start_grace: Duration,
        entry: &NewAuditEntry,
    ) -> StoreResult<RetryOutcome> {
        transaction!(self, connection => {
            let Some((status, number)) = lock_not_deleted(connection, submission).await? else {
                return Ok(RetryOutcome::NotFound);
            };
            let current = RunKey { submission, number };
            if !status.is_final() {
                log::append(connection, &entry.clone().with_result(IN_PROGRESS)).await?;
                return Ok(RetryOutcome::InProgress(current));
            }
            let next = queue_next_run(connection, current, status, start_grace).await?;
            log::append(connection, entry).await?;
            Ok(RetryOutcome::Queued(next))
        })
    }
}

/// Cancels a submission's newest run. The caller must hold the submission's lock, and the submission's state `from` must
/// not be final. Also returns whether this call was the first to cancel the run.
pub(crate) async fn cancel_run(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
) -> StoreResult<(CancelOutcome, bool)> {
    let CancelRequest { is_started, is_first } = cancellation::request(connection, run).await?;
    if is_started {
        return Ok((CancelOutcome::Requested(run), is_first));
    }
    // If the run is being started at the same time, its execution will find that the run has already ended.
    if transitions::apply_end(connection, run, from, &RunEnd::cancelled()).await? {
        standalone::queue_standalone(connection, run.submission, run.number..=run.number).await?;
    }
    Ok((CancelOutcome::Cancelled, true))
}

/// Creates the run that follows `current`. The caller must hold the submission's lock, and the submission must have
/// ended in the state `from`.
pub(crate) async fn queue_next_run(
    connection: &mut Connection,
    current: RunKey,
    from: Status,
    start_grace: Duration,
) -> StoreResult<RunKey> {
    let run = RunKey { number: current.number + 1, ..current };
    transitions::reopen(connection, run, from, Status::Pending.staff_sources()).await?;
    diesel::insert_into(runs::table)
        .values((
            runs::submission_id.eq(run.submission),
            runs::number.eq(run.number),
            runs::start_after.eq(after(start_grace)),
            runs::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    // A standalone workflow takes over e-mails that are being sent because Temporal closes the old run.
    standalone::queue_standalone(connection, run.submission, 1..=current.number).await?;
    Ok(run)
}

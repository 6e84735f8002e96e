//! What staff do to one submission: call it off, or set it going again. Each is one transaction with its
//! line of the audit, and safe to ask for twice.

use crate::audit::entry::{IN_PROGRESS, UNCHANGED};
use crate::audit::log::{self, NewAuditEntry};
use crate::codes::FailureCode;
use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::runs;
use crate::db::utc_time::UtcTime;
use crate::deliveries::standalone;
use crate::runs::transitions::{self, EndStatus, RunEnd};
use crate::submissions::row::lock_not_deleted;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// What came of the wish to call a submission off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Its run is under way in Temporal, which is to be told. Requested now, or by an earlier wish.
    Requested(RunKey),
    /// It is cancelled: just now, since its run had not begun, or before.
    Cancelled,
    /// It has ended otherwise, and stays so.
    Final(Status),
    /// No such submission, or it is deleted.
    NotFound,
}

/// What came of the wish to set a submission going again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOutcome {
    /// It has a new run, which waits to be started.
    Queued(RunKey),
    /// It is under way already, by an earlier wish or since it has not ended yet.
    InProgress(RunKey),
    /// No such submission, or it is deleted.
    NotFound,
}

impl Store {
    /// Calls a submission off. A run that Temporal does not have yet ends at once, without a request to
    /// LoopAI; for another the wish is noted, and stands until Temporal was told
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

    /// Sets a submission that has ended going again, as a new run, which the sweeper leaves to the caller
    /// for the time `start_grace`. What its earlier runs still owed is not sent any more.
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

/// Calls the newest run of a submission off, which has not ended and was found as `from`. Tells besides
/// whether that was not wished before.
async fn cancel_run(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
) -> StoreResult<(CancelOutcome, bool)> {
    let row = runs::table.find((run.submission, run.number));
    let started: Option<String> = row.select(runs::temporal_run_id).first(connection).await?;
    let requested = diesel::update(row.filter(runs::cancel_requested_at.is_null()))
        .set((
            runs::cancel_requested_at.eq(now().nullable()),
            runs::cancel_after.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    if started.is_some() {
        return Ok((CancelOutcome::Requested(run), requested == 1));
    }
    // Should Temporal get it all the same, by a start that is under way just now, it finds this end.
    let end = RunEnd {
        status: EndStatus::Cancelled,
        code: FailureCode::Cancelled.to_string(),
        detail: String::new(),
    };
    diesel::update(row).set(runs::cancel_after.eq(None::<UtcTime>)).execute(connection).await?;
    if transitions::apply_end(connection, run, from, &end).await? {
        standalone::queue_standalone(connection, run.submission, run.number..=run.number).await?;
    }
    Ok((CancelOutcome::Cancelled, true))
}

/// Makes the run after `current`, of a submission that has ended as `from` and is locked.
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
    // One whose text is under way is seen to its end apart from its run, which makes room for this one.
    standalone::queue_standalone(connection, run.submission, 1..=current.number).await?;
    Ok(run)
}

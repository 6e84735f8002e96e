//! Finds and resolves differences between Temporal and the database: cancellations that have not been passed to
//! Temporal yet, and runs and e-mails whose workflow no longer exists.

use crate::codes::FailureCode;
use crate::db::clock::{after, before, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, runs, submissions};
use crate::db::utc_time::UtcTime;
use crate::deliveries::maybe_notified;
use crate::deliveries::standalone::queue_standalone;
use crate::runs::transitions::{self, EndStatus, RunEnd};
use crate::submissions::row::lock;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedRun {
    pub run: RunKey,
    pub temporal_run_id: String,
}

/// A run or delivery that has not changed for a long time and is therefore compared with Temporal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaleItem {
    Run(StartedRun),
    Delivery(DeliveryId, SubmissionId),
}

impl StaleItem {
    pub fn submission(&self) -> SubmissionId {
        match self {
            StaleItem::Run(started) => started.run.submission,
            StaleItem::Delivery(_, submission) => *submission,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StaleCursor {
    since: UtcTime,
    /// Id of the submission or delivery.
    id: String,
}

impl Store {
    /// Claims up to `limit` cancellations that Temporal has not accepted yet. A claim expires after `lease`. Concurrent
    /// callers skip rows locked by another caller.
    pub async fn claim_cancellations(
        &self,
        limit: i64,
        lease: Duration,
    ) -> StoreResult<Vec<StartedRun>> {
        transaction!(self, connection => {
            let found: Vec<(SubmissionId, i32, Option<String>)> = runs::table
                .filter(runs::cancel_after.le(now().nullable()))
                .order(runs::cancel_after)
                .limit(limit)
                .select((runs::submission_id, runs::number, runs::temporal_run_id))
                .for_update()
                .skip_locked()
                .load(connection)
                .await?;
            let mut claimed = Vec::with_capacity(found.len());
            for (submission, number, temporal_run_id) in found {
                diesel::update(runs::table.find((submission, number)))
                    .set(runs::cancel_after.eq(after(lease).nullable()))
                    .execute(connection)
                    .await?;
                let run = RunKey { submission, number };
                claimed.extend(
                    temporal_run_id.map(|temporal_run_id| StartedRun { run, temporal_run_id }),
                );
            }
            Ok(claimed)
        })
    }

    /// Removes a cancellation that Temporal has accepted, or that no longer applies.
    pub async fn clear_cancellation(&self, run: RunKey) -> StoreResult<()> {
        diesel::update(runs::table.find((run.submission, run.number)))
            .set(runs::cancel_after.eq(None::<UtcTime>))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Ends a run that is closed or missing in Temporal even though its submission has not ended. The run ends as
    /// *cancelled* if a cancellation was requested; otherwise, it ends as *failed* with the code `run_orphaned`. A
    /// standalone workflow delivers the run's e-mail. Returns `false` and changes nothing if the run has already ended
    /// or is not the newest run.
    pub async fn end_orphaned_run(&self, run: RunKey) -> StoreResult<bool> {
        transaction!(self, connection => {
            let from = match lock(connection, run.submission).await? {
                Some((status, current)) if current == run.number => status,
                _ => return Ok(false),
            };
            let row = runs::table.find((run.submission, run.number));
            let cancelled: Option<UtcTime> =
                row.select(runs::cancel_requested_at).first(connection).await?;
            let (status, code) = match cancelled {
                Some(_) => (EndStatus::Cancelled, FailureCode::Cancelled),
                None => (EndStatus::Failed, FailureCode::RunOrphaned),
            };
            let detail = "the run was closed in Temporal without recording an end";
            let end = RunEnd { status, code: code.to_string(), detail: detail.to_owned() };
            maybe_notified::run_closed(connection, run).await?;
            let ended = transitions::apply_end(connection, run, from, &end).await?;
            if ended {
                queue_standalone(connection, run.submission, run.number..=run.number).await?;
            }
            Ok(ended)
        })
    }

    /// Returns the next items after `after_cursor` that have not changed for at least `unchanged`, oldest first.
    pub async fn stale_items(
        &self,
        unchanged: Duration,
        after_cursor: Option<&StaleCursor>,
        limit: i64,
    ) -> StoreResult<Vec<(StaleCursor, StaleItem)>> {
        let first = StaleCursor { since: UtcTime::default(), id: String::new() };
        let after_cursor = after_cursor.unwrap_or(&first);
        let mut connection = self.connection().await?;
        let mut found = Vec::new();
        // An index returns runs in time order for one state, but not for both states together.
        for status in [Status::Pending, Status::Processing] {
            found
                .extend(stale_runs(&mut connection, status, unchanged, after_cursor, limit).await?);
        }
        found.extend(stale_deliveries(&mut connection, unchanged, after_cursor, limit).await?);
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}

async fn stale_runs(
    connection: &mut Connection,
    status: Status,
    unchanged: Duration,
    after_cursor: &StaleCursor,
    limit: i64,
) -> StoreResult<Vec<(StaleCursor, StaleItem)>> {
    let newest =
        runs::submission_id.eq(submissions::id).and(runs::number.eq(submissions::run_number));
    let found: Vec<(UtcTime, SubmissionId, i32, Option<String>)> = submissions::table
        .inner_join(runs::table.on(newest))
        .filter(submissions::status.eq(status))
        .filter(submissions::updated_at.le(before(unchanged)))
        .filter(submissions::updated_at.ge(after_cursor.since))
        .filter(
            submissions::updated_at.gt(after_cursor.since).or(submissions::id.gt(&after_cursor.id)),
        )
        .filter(runs::temporal_run_id.is_not_null())
        .filter(runs::started_at.le(before(unchanged).nullable()))
        .order((submissions::updated_at, submissions::id))
        .limit(limit)
        .select((submissions::updated_at, runs::submission_id, runs::number, runs::temporal_run_id))
        .load(connection)
        .await?;
    let stale_items =
        found.into_iter().filter_map(|(since, submission, number, temporal_run_id)| {
            let run = RunKey { submission, number };
            let started = StartedRun { run, temporal_run_id: temporal_run_id? };
            let cursor = StaleCursor { since, id: submission.to_string() };
            Some((cursor, StaleItem::Run(started)))
        });
    Ok(stale_items.collect())
}

async fn stale_deliveries(
    connection: &mut Connection,
    unchanged: Duration,
    after_cursor: &StaleCursor,
    limit: i64,
) -> StoreResult<Vec<(StaleCursor, StaleItem)>> {
    let found: Vec<(UtcTime, DeliveryId, SubmissionId)> = deliveries::table
        .filter(deliveries::settled_at.is_null())
        .filter(deliveries::start_after.is_null())
        .filter(deliveries::created_at.le(before(unchanged)))
        .filter(deliveries::created_at.ge(after_cursor.since))
        .filter(
            deliveries::created_at.gt(after_cursor.since).or(deliveries::id.gt(&after_cursor.id)),
        )
        .order((deliveries::created_at, deliveries::id))
        .limit(limit)
        .select((deliveries::created_at, deliveries::id, deliveries::submission_id))
        .load(connection)
        .await?;
    let stale_items = found.into_iter().map(|(since, delivery, submission)| {
        let cursor = StaleCursor { since, id: delivery.to_string() };
        (cursor, StaleItem::Delivery(delivery, submission))
    });
    Ok(stale_items.collect())
}

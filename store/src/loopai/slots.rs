//! The slot table, which records the runs that hold a slot and those waiting for one. The `admission` module accesses
//! it while holding the circuit breaker's lock.
//!
//! A slot belongs to a run, not to a worker. A run keeps its slot when it repeats its request, unless its requests have
//! failed often. The slot is released when the run ends, whatever the outcome.

use crate::db::clock::now as db_now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::{loopai_slots as slots, submissions};
use crate::db::utc_time::UtcTime;
use crate::loopai::breaker::{MAX_REQUEST_TIME, RETRY_SOON, RequestHealth};
use crate::settings::within;
use crate::submissions::status::Status;
use diesel::dsl::{case_when, count, count_star};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

pub(crate) const MIN_NEXT: i64 = 4;
/// Once a run has had this many failed requests, other runs take precedence, and the run holds no slot between its
/// requests.
const MANY_FAILURES: i32 = 2;
/// Once this many of a run's requests have failed while others succeeded, staff see that LoopAI fails for the
/// submission.
pub(crate) const REPORTED_FAILURES: i32 = 3;
/// Equal to the retry policy's longest interval so that a run resumes soon after LoopAI recovers.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Limits across all workers. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct LoopAiLimits {
    #[serde(rename = "LOOPAI_MAX_EXECUTIONS", deserialize_with = "limit")]
    pub max_executions: Option<i64>,
    #[serde(rename = "LOOPAI_MAX_PER_HOUR", deserialize_with = "limit")]
    pub max_per_hour: Option<i64>,
}

/// Deserializes a limit. Its maximum bounds the number of index rows that each request reads while holding a lock.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let limit: i64 = within::<_, _, 0, 100_000>(deserializer)?;
    Ok((limit > 0).then_some(limit))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    Slot,
    HourlyLimit,
    /// The circuit breaker is open or half-open.
    LoopAiUnavailable,
    /// Staff have paused requests to LoopAI.
    Paused,
}

#[derive(Debug, Clone, Copy, Queryable)]
pub(crate) struct SlotRow {
    pub(crate) queued_at: UtcTime,
    pub(crate) acquired_at: Option<UtcTime>,
    /// Time at which the run loses its slot, or `None` if it holds the slot until it ends.
    pub(crate) held_until: Option<UtcTime>,
    pub(crate) turn_expires_at: Option<UtcTime>,
    /// Number of the run's failed requests.
    pub(crate) failures: i32,
    /// Number of failed requests that were preceded by successful requests from other runs.
    pub(crate) own_failures: i32,
    pub(crate) failed_at: Option<UtcTime>,
}

pub(crate) struct QueueAhead {
    pub(crate) all: i64,
    /// Number of runs ahead in the queue without a slot. All other runs ahead hold a slot and are only waiting for
    /// LoopAI to recover.
    without_slot: i64,
}

impl SlotRow {
    pub(crate) fn new(now: UtcTime) -> SlotRow {
        SlotRow {
            queued_at: now,
            acquired_at: None,
            held_until: None,
            turn_expires_at: None,
            failures: 0,
            own_failures: 0,
            failed_at: None,
        }
    }

    pub(crate) async fn find(
        connection: &mut Connection,
        run: RunKey,
    ) -> StoreResult<Option<SlotRow>> {
        let found = slots::table
            .find((run.submission, run.number))
            .select((
                slots::queued_at,
                slots::acquired_at,
                slots::held_until,
                slots::turn_expires_at,
                slots::failures,
                slots::own_failures,
                slots::failed_at,
            ))
            .first(connection)
            .await
            .optional()?;
        Ok(found)
    }

    pub(crate) async fn write(self, connection: &mut Connection, run: RunKey) -> StoreResult<()> {
        let set = (
            slots::queued_at.eq(self.queued_at),
            slots::acquired_at.eq(self.acquired_at),
            slots::held_until.eq(self.held_until),
            slots::turn_expires_at.eq(self.turn_expires_at),
            slots::failures.eq(self.failures),
            slots::own_failures.eq(self.own_failures),
            slots::failed_at.eq(self.failed_at),
        );
        diesel::insert_into(slots::table)
            .values((
                slots::submission_id.eq(run.submission),
                slots::run_number.eq(run.number),
                set,
            ))
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set(set)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Returns a run's row after a failed request. The run is at the end of the queue and has no turn.
    pub(crate) fn after_failure(
        self,
        now: UtcTime,
        health: RequestHealth,
        is_own: bool,
    ) -> SlotRow {
        let failures = self.failures.saturating_add(1);
        let own_failures = self.own_failures.saturating_add(i32::from(is_own));
        let failed = SlotRow { failures, own_failures, failed_at: Some(now), ..SlotRow::new(now) };
        let acquired_at = Some(now);
        if !failed.has_failed_often() {
            return SlotRow { acquired_at, ..failed };
        }
        if health == RequestHealth::NoResponse {
            // LoopAI may have accepted the request.
            let held_until = Some(self.acquired_at.unwrap_or(now) + MAX_REQUEST_TIME);
            return SlotRow { acquired_at, held_until, ..failed };
        }
        failed
    }

    fn holds_slot(&self, now: UtcTime) -> bool {
        self.acquired_at.is_some() && self.held_until.is_none_or(|held_until| held_until > now)
    }

    pub(crate) fn has_failed_often(&self) -> bool {
        self.failures >= MANY_FAILURES
    }

    /// Counts the runs ahead in the queue. Runs that have failed often are never ahead of runs that have not.
    pub(crate) async fn ahead(
        &self,
        connection: &mut Connection,
        now: UtcTime,
    ) -> StoreResult<QueueAhead> {
        let max_failures = if self.has_failed_often() { i32::MAX } else { MANY_FAILURES - 1 };
        let (all, with_slot): (i64, i64) = slots::table
            .filter(slots::turn_expires_at.gt(now))
            .filter(slots::queued_at.lt(self.queued_at))
            .filter(slots::failures.le(max_failures))
            .select((count_star(), count(case_when(has_slot(now), slots::queued_at))))
            .get_result(connection)
            .await?;
        Ok(QueueAhead { all, without_slot: all - with_slot })
    }
}

/// Returns the delay before a run tries again if `before` runs are ahead of it, of which the first `next` try soon.
pub(crate) fn turn_delay(before: i64, next: i64) -> Duration {
    let rounds = u32::try_from(before / next).unwrap_or(u32::MAX);
    RETRY_SOON.saturating_mul(rounds.saturating_add(1))
}

/// Returns why and how long a run must wait. Free slots go to the runs that have waited longest.
pub(crate) async fn unavailable(
    connection: &mut Connection,
    run: RunKey,
    row: SlotRow,
    ahead: &QueueAhead,
    budget: LoopAiLimits,
    now: UtcTime,
) -> StoreResult<Option<(WaitReason, Duration)>> {
    // A run that already holds a slot does not compete with the runs ahead of it.
    let holds_slot = row.holds_slot(now);
    let before = if holds_slot { 0 } else { ahead.without_slot };
    if let (Some(limit), false) = (budget.max_executions, holds_slot) {
        let free = limit - taken(connection, now).await?;
        if before >= free {
            let next = (limit / 4).max(MIN_NEXT);
            return Ok(Some((WaitReason::Slot, turn_delay(before, next))));
        }
    }
    let Some(limit) = budget.max_per_hour else { return Ok(None) };
    if before >= limit {
        return Ok(Some((WaitReason::HourlyLimit, MAX_WAIT)));
    }
    // If the hourly limit has been reached, the next execution may start once the oldest counted execution is an hour
    // old.
    let is_other = slots::submission_id.ne(run.submission).or(slots::run_number.ne(run.number));
    let first: Option<UtcTime> = slots::table
        .filter(slots::acquired_at.gt(now - HOUR))
        .filter(is_other)
        .order(slots::acquired_at.desc())
        .offset(limit - before - 1)
        .select(slots::acquired_at.assume_not_null())
        .first(connection)
        .await
        .optional()?;
    Ok(first.map(|first| (WaitReason::HourlyLimit, (first + HOUR).since(now).max(RETRY_SOON))))
}

/// The SQL condition for [`SlotRow::holds_slot`].
#[diesel::dsl::auto_type]
fn has_slot(now: UtcTime) -> _ {
    let is_held = slots::held_until.is_null().or(slots::held_until.gt(now));
    slots::acquired_at.is_not_null().and(is_held)
}

pub(crate) async fn taken(connection: &mut Connection, now: UtcTime) -> StoreResult<i64> {
    let rows = slots::table.filter(slots::released_at.is_null()).filter(has_slot(now));
    Ok(rows.count().get_result(connection).await?)
}

pub(crate) async fn taken_in_last_hour(
    connection: &mut Connection,
    now: UtcTime,
) -> StoreResult<i64> {
    let rows = slots::table.filter(slots::acquired_at.gt(now - HOUR));
    Ok(rows.count().get_result(connection).await?)
}

/// Returns the number of deferred runs that have not lost their turn, excluding runs of the submission `except`.
pub(crate) async fn waiting_runs(
    connection: &mut Connection,
    except: Option<SubmissionId>,
    now: UtcTime,
) -> StoreResult<i64> {
    let rows = slots::table.filter(slots::turn_expires_at.gt(now)).count();
    Ok(match except {
        Some(one) => rows.filter(slots::submission_id.ne(one)).get_result(connection).await?,
        None => rows.get_result(connection).await?,
    })
}

/// Returns the number of open runs that repeatedly fail at LoopAI even though it accepts other requests.
pub(crate) async fn failing_runs(connection: &mut Connection) -> StoreResult<i64> {
    let rows = slots::table
        .filter(slots::released_at.is_null())
        .filter(slots::own_failures.ge(REPORTED_FAILURES));
    Ok(rows.count().get_result(connection).await?)
}

/// Releases the slot of a run that has ended or been superseded.
pub(crate) async fn release(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    let row = slots::table
        // This query uses the primary key because a secondary index would lock the rows of all slots in an arbitrary
        // order.
        .find((run.submission, run.number))
        .filter(slots::released_at.is_null());
    diesel::update(row)
        .set((
            slots::released_at.eq(db_now().nullable()),
            slots::turn_expires_at.eq(None::<UtcTime>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Acquires a slot regardless of the limits for a run whose execution is already in progress.
pub(crate) async fn force_acquire(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    diesel::insert_into(slots::table)
        .values((
            slots::submission_id.eq(run.submission),
            slots::run_number.eq(run.number),
            slots::queued_at.eq(db_now()),
            slots::acquired_at.eq(db_now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Releases the slots of runs that have ended or been superseded, and returns how many were released. Such a run
    /// still holds a slot if it was ended by an older version of the worker that does not support slots.
    pub async fn release_stale_slots(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        let ended = Status::ALL.iter().copied().filter(|status| status.is_final());
        let stale: Vec<(SubmissionId, i32)> = slots::table
            .inner_join(submissions::table.on(submissions::id.eq(slots::submission_id)))
            .filter(slots::released_at.is_null())
            .filter(slots::acquired_at.is_not_null())
            .filter(
                submissions::status.eq_any(ended).or(slots::run_number.lt(submissions::run_number)),
            )
            .select((slots::submission_id, slots::run_number))
            .load(&mut connection)
            .await?;
        for (submission, number) in &stale {
            release(&mut connection, RunKey { submission: *submission, number: *number }).await?;
        }
        Ok(stale.len())
    }
}

//! The rows of slots: which runs hold a slot, which are waiting, and whether a slot is free. `admission` uses them
//! under the lock of the circuit breaker.
//!
//! A slot belongs to the run, not to the worker. A run that repeats its request already has its slot. The slot is
//! released when the run ends, whatever its outcome.

use crate::db::clock::now as db_now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::{loopai_slots as slots, submissions};
use crate::db::utc_time::UtcTime;
use crate::loopai::breaker::RETRY_SOON;
use crate::settings::within;
use crate::submissions::status::Status;
use diesel::dsl::{count, count_star};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

const MIN_NEXT: i64 = 4;
/// The same as the longest interval of the retry policy, so that a run continues soon after LoopAI has recovered.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Limits across all workers. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct LoopAiLimits {
    #[serde(rename = "LOOPAI_MAX_EXECUTIONS", deserialize_with = "limit")]
    pub max_executions: Option<i64>,
    /// Executions started within any hour.
    #[serde(rename = "LOOPAI_MAX_PER_HOUR", deserialize_with = "limit")]
    pub max_per_hour: Option<i64>,
}

/// 0 means no limit. The maximum limits the index rows that are read under a lock for each request.
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
}

#[derive(Debug, Clone, Copy, Queryable)]
pub(crate) struct SlotRow {
    pub(crate) queued_at: UtcTime,
    pub(crate) acquired_at: Option<UtcTime>,
    pub(crate) turn_expires_at: Option<UtcTime>,
}

pub(crate) struct QueueAhead {
    pub(crate) all: i64,
    /// Runs ahead that have no slot yet; the others hold one and only wait for LoopAI to recover.
    without_slot: i64,
}

impl SlotRow {
    pub(crate) fn new(now: UtcTime) -> SlotRow {
        SlotRow { queued_at: now, acquired_at: None, turn_expires_at: None }
    }

    pub(crate) async fn find(
        connection: &mut Connection,
        run: RunKey,
    ) -> StoreResult<Option<SlotRow>> {
        let found = slots::table
            .find((run.submission, run.number))
            .select((slots::queued_at, slots::acquired_at, slots::turn_expires_at))
            .first(connection)
            .await
            .optional()?;
        Ok(found)
    }

    pub(crate) async fn write(self, connection: &mut Connection, run: RunKey) -> StoreResult<()> {
        let set = (
            slots::queued_at.eq(self.queued_at),
            slots::acquired_at.eq(self.acquired_at),
            slots::turn_expires_at.eq(self.turn_expires_at),
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

    pub(crate) async fn ahead(
        &self,
        connection: &mut Connection,
        now: UtcTime,
    ) -> StoreResult<QueueAhead> {
        let (all, with_slot): (i64, i64) = slots::table
            .filter(slots::turn_expires_at.gt(now))
            .filter(slots::queued_at.lt(self.queued_at))
            .select((count_star(), count(slots::acquired_at)))
            .get_result(connection)
            .await?;
        Ok(QueueAhead { all, without_slot: all - with_slot })
    }
}

/// Returns why a run must wait, and for how long. Free slots are assigned to the runs that have waited longest.
pub(crate) async fn unavailable(
    connection: &mut Connection,
    run: RunKey,
    row: SlotRow,
    ahead: &QueueAhead,
    budget: LoopAiLimits,
    now: UtcTime,
) -> StoreResult<Option<(WaitReason, Duration)>> {
    // A run that already holds a slot does not compete with the runs ahead of it.
    let before = if row.acquired_at.is_none() { ahead.without_slot } else { 0 };
    if let (Some(limit), None) = (budget.max_executions, row.acquired_at) {
        let free = limit - taken(connection).await?;
        if before >= free {
            let next = (limit / 4).max(MIN_NEXT);
            let rounds = u32::try_from(before / next).unwrap_or(u32::MAX);
            return Ok(Some((
                WaitReason::Slot,
                RETRY_SOON.saturating_mul(rounds.saturating_add(1)),
            )));
        }
    }
    let Some(limit) = budget.max_per_hour else { return Ok(None) };
    if before >= limit {
        return Ok(Some((WaitReason::HourlyLimit, MAX_WAIT)));
    }
    // If the limit for the last hour is reached, one more execution may start when the oldest of those that count is
    // more than an hour old.
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

pub(crate) async fn taken(connection: &mut Connection) -> StoreResult<i64> {
    let rows =
        slots::table.filter(slots::released_at.is_null()).filter(slots::acquired_at.is_not_null());
    Ok(rows.count().get_result(connection).await?)
}

pub(crate) async fn taken_in_last_hour(
    connection: &mut Connection,
    now: UtcTime,
) -> StoreResult<i64> {
    let rows = slots::table.filter(slots::acquired_at.gt(now - HOUR));
    Ok(rows.count().get_result(connection).await?)
}

/// Number of deferred runs that have not lost their turn, without those of the submission `except`.
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

/// Releases the slot of a run that has ended or is superseded. The caller holds the submission's lock.
pub(crate) async fn release(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    let row = slots::table
        // By primary key, because a search through an index would lock the rows of all slots, in no fixed order.
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

/// Acquires a slot regardless of the limits, for a run whose execution is already in progress.
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
    /// Releases the slots of runs that have ended or are superseded, and returns their number. Such a run still holds
    /// its slot if a worker of a version without slots ended it.
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

//! Places at LoopAI: which runs have one, which wait for one, and whether there is room. The rows alone; who
//! may ask, and when, is decided in `loopai`, which holds the lock of the gate meanwhile.
//!
//! A place belongs to the run, not to the worker: whoever asks again for the run has it already, and it is
//! free when the run ends, however it ends. `docs/adr/0012-loopai-limits-and-circuit-breaker.md` tells why it is done so.

use crate::db::clock::now as now_there;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::{loopai_places as places, submissions};
use crate::submissions::status::Status;
use chrono::{NaiveDateTime, TimeDelta};
use diesel::dsl::{count, count_star};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// When those come again who are next.
const SOON: Duration = Duration::from_secs(2);
/// How many of those who wait are next, at least.
const FEWEST_NEXT: i64 = 4;
/// The longest that anybody is told to wait, as with the pauses of the retry policy: it must not miss that
/// LoopAI is back.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// How much LoopAI may be asked to do, by all workers together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// `LOOPAI_MAX_EXECUTIONS`: executions under way at once; default 200, none for no limit.
    pub at_once: Option<i64>,
    /// `LOOPAI_MAX_PER_HOUR`: executions begun within any hour; default 10000, none for no limit.
    pub an_hour: Option<i64>,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As many executions are under way as may be at once.
    Place,
    /// As many were begun within an hour as may be.
    Hour,
    /// LoopAI is away, or was until just now.
    LoopAi,
}

/// A run's row.
#[derive(Debug, Clone, Copy, Queryable)]
pub(crate) struct Standing {
    /// Since when it is in the queue.
    pub(crate) asked_at: NaiveDateTime,
    /// Since when it has its place.
    pub(crate) taken_at: Option<NaiveDateTime>,
    /// When it has lost its turn, if it was told to come again.
    pub(crate) waits_until: Option<NaiveDateTime>,
}

/// Runs that wait and come before another one.
pub(crate) struct Ahead {
    pub(crate) all: i64,
    /// Without those that have their place, and wait for LoopAI alone.
    without_place: i64,
}

impl Standing {
    /// Of a run that comes for the first time.
    pub(crate) fn new(now: NaiveDateTime) -> Standing {
        Standing { asked_at: now, taken_at: None, waits_until: None }
    }

    pub(crate) async fn find(
        connection: &mut Connection,
        run: RunKey,
    ) -> StoreResult<Option<Standing>> {
        let found = places::table
            .find((run.submission, run.number))
            .select((places::asked_at, places::taken_at, places::waits_until))
            .first(connection)
            .await
            .optional()?;
        Ok(found)
    }

    pub(crate) async fn write(self, connection: &mut Connection, run: RunKey) -> StoreResult<()> {
        let set = (
            places::asked_at.eq(self.asked_at),
            places::taken_at.eq(self.taken_at),
            places::waits_until.eq(self.waits_until),
        );
        diesel::insert_into(places::table)
            .values((
                places::submission_id.eq(run.submission),
                places::run_number.eq(run.number),
                set,
            ))
            .on_conflict(diesel::dsl::DuplicatedKeys)
            .do_update()
            .set(set)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Who comes before it.
    pub(crate) async fn ahead(
        &self,
        connection: &mut Connection,
        now: NaiveDateTime,
    ) -> StoreResult<Ahead> {
        let (all, with_place): (i64, i64) = places::table
            .filter(places::waits_until.gt(now))
            .filter(places::asked_at.lt(self.asked_at))
            .select((count_star(), count(places::taken_at)))
            .get_result(connection)
            .await?;
        Ok(Ahead { all, without_place: all - with_place })
    }
}

/// Why there is no room for a run, and when to come again; `None` when there is. What is free is for those who
/// wait longer.
pub(crate) async fn refusal(
    connection: &mut Connection,
    run: RunKey,
    standing: Standing,
    ahead: &Ahead,
    budget: Budget,
    now: NaiveDateTime,
) -> StoreResult<Option<(Wait, Duration)>> {
    // One that has its place takes nothing from them.
    let before = if standing.taken_at.is_none() { ahead.without_place } else { 0 };
    if let (Some(limit), None) = (budget.at_once, standing.taken_at) {
        let free = limit - held(connection).await?;
        if before >= free {
            let next = (limit / 4).max(FEWEST_NEXT);
            let rounds = u32::try_from(before / next).unwrap_or(u32::MAX);
            return Ok(Some((Wait::Place, SOON.saturating_mul(rounds.saturating_add(1)))));
        }
    }
    let Some(limit) = budget.an_hour else { return Ok(None) };
    if before >= limit {
        return Ok(Some((Wait::Hour, LONGEST)));
    }
    // Of the others that were begun within the hour, the newest ones count; when the first of them is older,
    // there is room.
    let is_other = places::submission_id.ne(run.submission).or(places::run_number.ne(run.number));
    let first: Option<NaiveDateTime> = places::table
        .filter(places::taken_at.gt(now - HOUR))
        .filter(is_other)
        .order(places::taken_at.desc())
        .offset(limit - before - 1)
        .select(places::taken_at.assume_not_null())
        .first(connection)
        .await
        .optional()?;
    let rest = first.and_then(|first| (first + HOUR - now).to_std().ok());
    Ok(rest.map(|rest| (Wait::Hour, rest.max(SOON))))
}

/// Places that are taken.
pub(crate) async fn held(connection: &mut Connection) -> StoreResult<i64> {
    let rows =
        places::table.filter(places::left_at.is_null()).filter(places::taken_at.is_not_null());
    Ok(rows.count().get_result(connection).await?)
}

/// Runs for which LoopAI was asked within the last hour.
pub(crate) async fn within_the_hour(
    connection: &mut Connection,
    now: NaiveDateTime,
) -> StoreResult<i64> {
    let rows = places::table.filter(places::taken_at.gt(now - HOUR));
    Ok(rows.count().get_result(connection).await?)
}

/// Runs that were told to come again, and have not lost their turn, but those of one submission.
pub(crate) async fn waiting(
    connection: &mut Connection,
    but: Option<SubmissionId>,
    now: NaiveDateTime,
) -> StoreResult<i64> {
    let rows = places::table.filter(places::waits_until.gt(now)).count();
    Ok(match but {
        Some(one) => rows.filter(places::submission_id.ne(one)).get_result(connection).await?,
        None => rows.get_result(connection).await?,
    })
}

/// Frees the place of a run, which has ended or has a newer one after it. The caller holds the submission's
/// lock.
pub(crate) async fn leave(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    let row = places::table
        // By its key: an index over all places would have them all locked, in any order.
        .find((run.submission, run.number))
        .filter(places::left_at.is_null());
    diesel::update(row)
        .set((
            places::left_at.eq(now_there().nullable()),
            places::waits_until.eq(None::<NaiveDateTime>),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a place to a run whose execution is under way already, whatever the limits are: LoopAI is not asked
/// by our leave.
pub(crate) async fn occupy(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    diesel::insert_into(places::table)
        .values((
            places::submission_id.eq(run.submission),
            places::run_number.eq(run.number),
            places::asked_at.eq(now_there()),
            places::taken_at.eq(now_there().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Frees the places of runs that have ended, or have a newer one after them, and were not freed with that: a
    /// worker of a version that knew no places ended them. Says how many there were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn free_forgotten_places(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        let ended = Status::ALL.into_iter().filter(|status| status.is_final());
        let forgotten: Vec<(SubmissionId, i32)> = places::table
            .inner_join(submissions::table.on(submissions::id.eq(places::submission_id)))
            .filter(places::left_at.is_null())
            .filter(places::taken_at.is_not_null())
            .filter(
                submissions::status
                    .eq_any(ended)
                    .or(places::run_number.lt(submissions::run_number)),
            )
            .select((places::submission_id, places::run_number))
            .load(&mut connection)
            .await?;
        for (submission, number) in &forgotten {
            leave(&mut connection, RunKey { submission: *submission, number: *number }).await?;
        }
        Ok(forgotten.len())
    }
}

//! Places at LoopAI: how many executions are under way at once and begin in an hour, over all workers.
//!
//! Whoever wants to ask takes a place under the lock of the gate's row, which gives them out one by one. A
//! place belongs to the run, not to the worker: whoever asks again for the run has it already, and it is
//! free when the run ends, however it ends. `docs/adr/0012-loopai-budget.md` tells why it is done so.

use crate::clock::now as now_there;
use crate::connection::Connection;
use crate::error::StoreResult;
use crate::events;
use crate::gate::{Gate, GateState};
use crate::ids::SubmissionId;
use crate::pool::{Store, transaction};
use crate::runs::{RunKey, lock};
use crate::schema::{loopai_gate, loopai_places as places};
use chrono::{NaiveDateTime, TimeDelta};
use diesel::dsl::{count, count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// The one row of `loopai_gate`.
const GATE: i32 = 1;
/// When those come again who are next.
const SOON: Duration = Duration::from_secs(2);
/// How many of those who wait are next, at least.
const FEWEST_NEXT: i64 = 4;
/// The longest that anybody is told to wait, as with the pauses of the retry policy: it must not miss that
/// LoopAI is back.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest that anybody is told to wait. Temporal takes next to nothing for no wish at all, and begins its
/// own pause, of up to a minute.
const SHORTEST: Duration = Duration::from_millis(100);
/// How much later than it was told a run may come before it has lost its turn.
const GRACE: Duration = Duration::from_secs(30);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// How much LoopAI may be asked to do, by all workers together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// `LOOPAI_MAX_EXECUTIONS`: executions under way at once; default 200, none for no limit.
    pub at_once: Option<i64>,
    /// `LOOPAI_MAX_PER_HOUR`: executions begun within any hour; default 10000, none for no limit.
    pub an_hour: Option<i64>,
}

/// Whether a run may ask LoopAI now.
#[derive(Debug)]
pub enum Entry {
    /// It may, and what came of it must be told ([`Store::loopai_heard`]).
    Admitted(Pass),
    /// Not now.
    TurnedAway {
        /// Why.
        why: Wait,
        /// When it shall come again.
        after: Duration,
    },
    /// The submission has ended.
    Ended,
    /// A newer run took over.
    Superseded,
}

/// Leave to ask LoopAI once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    run: RunKey,
    epoch: i64,
    /// Nothing was wrong when it was given, so a request that goes well is no news.
    is_untroubled: bool,
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

/// How a request to LoopAI went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// LoopAI is there, whatever it answered.
    Well,
    /// LoopAI is in trouble.
    Away,
}

/// How much LoopAI has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiUse {
    /// Runs that have a place.
    pub under_way: i64,
    /// Of all runs, those for which it was asked within the last hour.
    pub within_the_hour: i64,
    /// Runs that were told to come again.
    pub waiting: i64,
    /// How the gate stands.
    pub gate: GateState,
}

/// A run's row.
#[derive(Debug, Clone, Copy, Queryable)]
struct Standing {
    asked_at: NaiveDateTime,
    taken_at: Option<NaiveDateTime>,
}

/// Runs that wait and come before this one.
struct Ahead {
    all: i64,
    /// Without those that have their place, and wait for LoopAI alone.
    without_place: i64,
}

impl Store {
    /// Takes a place at LoopAI for a run, or tells why there is none and when to come again; then the
    /// submission's story tells that it waits. A run that has a place keeps it, and may still be told to wait,
    /// while LoopAI is away.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn enter_loopai(&self, run: RunKey, budget: Budget) -> StoreResult<Entry> {
        transaction!(self, connection => {
            let status = match lock(connection, run.submission).await? {
                Some((status, current)) if current == run.number => status,
                _ => return Ok(Entry::Superseded),
            };
            if status.is_final() {
                return Ok(Entry::Ended);
            }
            let (mut gate, now) = lock_gate(connection).await?;
            let standing = standing(connection, run).await?;
            let standing = standing.unwrap_or(Standing { asked_at: now, taken_at: None });
            let ahead = ahead(connection, standing, now).await?;
            let away = |rest| (Wait::LoopAi, rest);
            let mut refusal = gate.shut_for(now).map(away);
            if refusal.is_none() {
                refusal = wait_for_room(connection, run, standing, &ahead, budget, now).await?;
            }
            let Some((why, after)) = refusal.or_else(|| gate.pass(now).err().map(away)) else {
                write(connection, run, Standing { taken_at: Some(now), ..standing }, None).await?;
                let is_untroubled = gate.is_untroubled();
                if !is_untroubled {
                    save_gate(connection, &gate).await?;
                }
                return Ok(Entry::Admitted(Pass { run, epoch: gate.epoch(), is_untroubled }));
            };
            let later = match why {
                Wait::Place => Duration::ZERO,
                Wait::Hour | Wait::LoopAi => gate.turn_after(ahead.all),
            };
            let after = bounded(after + later, run.submission);
            write(connection, run, standing, Some(now + after + GRACE)).await?;
            events::append_waiting(connection, run.submission, status).await?;
            Ok(Entry::TurnedAway { why, after })
        })
    }

    /// Notes how a request went that was let through. Where LoopAI is taken for away now, tells when to come
    /// again, and the submission's story tells that it waits. A run whose request failed goes to the end of the
    /// queue: were it to blame itself, the others would have to wait for it.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn loopai_heard(&self, pass: Pass, heard: Heard) -> StoreResult<Option<Duration>> {
        let (run, is_well) = (pass.run, heard == Heard::Well);
        if is_well && pass.is_untroubled {
            return Ok(None);
        }
        transaction!(self, connection => {
            let standing = lock(connection, run.submission).await?;
            let (mut gate, now) = lock_gate(connection).await?;
            let others_wait = others_wait(connection, run, now).await?;
            gate.heard(now, pass.epoch, is_well, others_wait);
            save_gate(connection, &gate).await?;
            let going = standing.filter(|(status, number)| {
                !is_well && *number == run.number && !status.is_final()
            });
            let Some((status, _)) = going else { return Ok(None) };
            let last = Standing { asked_at: now, taken_at: Some(now) };
            let Some(rest) = gate.shut_for(now) else {
                // It comes again by the retry policy.
                write(connection, run, last, Some(now + LONGEST + GRACE)).await?;
                return Ok(None);
            };
            let ahead = ahead(connection, last, now).await?;
            let after = bounded(rest + gate.turn_after(ahead.all), run.submission);
            write(connection, run, last, Some(now + after + GRACE)).await?;
            events::append_waiting(connection, run.submission, status).await?;
            Ok(Some(after))
        })
    }

    /// How long looks at a submission's execution had better wait, since LoopAI is away; none while it is not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn loopai_away(&self, submission: SubmissionId) -> StoreResult<Option<Duration>> {
        let mut connection = self.connection().await?;
        let (gate, now): (Gate, NaiveDateTime) = loopai_gate::table
            .find(GATE)
            .select((Gate::as_select(), sql::<Datetime>("NOW(6)")))
            .first(&mut connection)
            .await?;
        let rest = gate.shut_for(now);
        Ok(rest.map(|rest| bounded(rest + rest * spread(submission) / 100, submission)))
    }

    /// How much LoopAI has to do now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn loopai_use(&self) -> StoreResult<LoopAiUse> {
        let mut connection = self.connection().await?;
        let (gate, now): (Gate, NaiveDateTime) = loopai_gate::table
            .find(GATE)
            .select((Gate::as_select(), sql::<Datetime>("NOW(6)")))
            .first(&mut connection)
            .await?;
        let hour = places::table.filter(places::taken_at.gt(now - HOUR)).count();
        let waiting = places::table.filter(places::waits_until.gt(now)).count();
        Ok(LoopAiUse {
            under_way: held(&mut connection).await?,
            within_the_hour: hour.get_result(&mut connection).await?,
            waiting: waiting.get_result(&mut connection).await?,
            gate: gate.state(),
        })
    }
}

/// Frees the places of all runs of a submission, which has ended or has a newer run. The caller holds the
/// submission's lock.
pub(crate) async fn leave(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    let rows = places::table
        .filter(places::submission_id.eq(submission))
        .filter(places::left_at.is_null());
    diesel::update(rows)
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

/// Locks the gate; tells the time after the wait for it.
async fn lock_gate(connection: &mut Connection) -> StoreResult<(Gate, NaiveDateTime)> {
    let found = loopai_gate::table
        .find(GATE)
        // `NOW` would be the time before the wait.
        .select((Gate::as_select(), sql::<Datetime>("SYSDATE(6)")))
        .for_update()
        .first(connection)
        .await?;
    Ok(found)
}

async fn save_gate(connection: &mut Connection, gate: &Gate) -> StoreResult<()> {
    diesel::update(loopai_gate::table.find(GATE)).set(gate).execute(connection).await?;
    Ok(())
}

async fn standing(connection: &mut Connection, run: RunKey) -> StoreResult<Option<Standing>> {
    let found = places::table
        .find((run.submission, run.number))
        .select((places::asked_at, places::taken_at))
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

/// Writes a run's row, with when it has lost its turn, if it waits.
async fn write(
    connection: &mut Connection,
    run: RunKey,
    standing: Standing,
    waits_until: Option<NaiveDateTime>,
) -> StoreResult<()> {
    let set = (
        places::asked_at.eq(standing.asked_at),
        places::taken_at.eq(standing.taken_at),
        places::waits_until.eq(waits_until),
    );
    diesel::insert_into(places::table)
        .values((places::submission_id.eq(run.submission), places::run_number.eq(run.number), set))
        .on_conflict(diesel::dsl::DuplicatedKeys)
        .do_update()
        .set(set)
        .execute(connection)
        .await?;
    Ok(())
}

/// Why there is no room for a run, and when to come again; `None` when there is.
async fn wait_for_room(
    connection: &mut Connection,
    run: RunKey,
    standing: Standing,
    ahead: &Ahead,
    budget: Budget,
    now: NaiveDateTime,
) -> StoreResult<Option<(Wait, Duration)>> {
    if let (Some(limit), None) = (budget.at_once, standing.taken_at) {
        let free = limit - held(connection).await?;
        // A free place is for those who wait longer.
        if ahead.without_place >= free {
            let next = (limit / 4).max(FEWEST_NEXT);
            let rounds = u32::try_from(ahead.without_place / next).unwrap_or(u32::MAX);
            return Ok(Some((Wait::Place, SOON.saturating_mul(rounds.saturating_add(1)))));
        }
    }
    let Some(limit) = budget.an_hour else { return Ok(None) };
    // Of the others that were begun within the hour, the newest ones count; when the first of them is older,
    // there is room.
    let is_other = places::submission_id.ne(run.submission).or(places::run_number.ne(run.number));
    let first: Option<NaiveDateTime> = places::table
        .filter(places::taken_at.gt(now - HOUR))
        .filter(is_other)
        .order(places::taken_at.desc())
        .offset(limit - 1)
        .select(places::taken_at.assume_not_null())
        .first(connection)
        .await
        .optional()?;
    let rest = first.and_then(|first| (first + HOUR - now).to_std().ok());
    Ok(rest.map(|rest| (Wait::Hour, rest.max(SOON))))
}

/// Places that are taken.
async fn held(connection: &mut Connection) -> StoreResult<i64> {
    let rows =
        places::table.filter(places::left_at.is_null()).filter(places::taken_at.is_not_null());
    Ok(rows.count().get_result(connection).await?)
}

async fn ahead(
    connection: &mut Connection,
    standing: Standing,
    now: NaiveDateTime,
) -> StoreResult<Ahead> {
    let (all, with_place): (i64, i64) = places::table
        .filter(places::waits_until.gt(now))
        .filter(places::asked_at.lt(standing.asked_at))
        .select((count_star(), count(places::taken_at)))
        .get_result(connection)
        .await?;
    Ok(Ahead { all, without_place: all - with_place })
}

async fn others_wait(
    connection: &mut Connection,
    run: RunKey,
    now: NaiveDateTime,
) -> StoreResult<bool> {
    let waiting: i64 = places::table
        .filter(places::waits_until.gt(now))
        .filter(places::submission_id.ne(run.submission))
        .count()
        .get_result(connection)
        .await?;
    Ok(waiting > 0)
}

/// No longer and no shorter than anybody is to wait. Those who would wait longer come at different times all the
/// same.
fn bounded(after: Duration, submission: SubmissionId) -> Duration {
    if after <= LONGEST {
        return after.max(SHORTEST);
    }
    LONGEST - LONGEST / 2 * spread(submission) / 100
}

/// A number from 0 to 99 that differs from submission to submission.
fn spread(submission: SubmissionId) -> u32 {
    let digits = submission.to_string();
    u32::from_str_radix(&digits[..4], 16).unwrap_or_default() % 100
}

//! Leave to ask LoopAI: whoever wants to ask takes a place, and passes the gate, in one transaction under the
//! lock of the gate's row. So places are given out one by one, over all workers, and all of them hear at once
//! how LoopAI is. `docs/adr/0012-loopai-limits-and-circuit-breaker.md` tells why it is done so.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::loopai_breaker;
use crate::db::utc_time::UtcTime;
use crate::loopai::breaker::{BreakerState, CircuitBreaker};
use crate::loopai::slots::{self, LoopAiLimits, MAX_WAIT, SlotRow, WaitReason};
use crate::submissions::events;
use crate::submissions::row::lock;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// The one row of `loopai_breaker`.
const BREAKER_ROW: i32 = 1;
/// The shortest that anybody is told to wait. Temporal takes next to nothing for no wish at all, and begins its
/// own pause, of up to a minute.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// How much later than it was told a run may come before it has lost its turn.
const TURN_GRACE: Duration = Duration::from_secs(30);

/// Whether a run may ask LoopAI now.
#[derive(Debug)]
pub enum SlotOutcome {
    /// It may. What came of it must be told ([`Store::record_loopai_request`]), or that nothing did
    /// ([`Store::return_loopai_permit`]).
    Granted(Permit),
    /// Not now.
    Deferred {
        /// Why.
        reason: WaitReason,
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
pub struct Permit {
    run: RunKey,
    epoch: i64,
    /// Nothing was wrong when it was given, so a request that goes well is no news.
    is_healthy: bool,
    /// The run had been told to come again: if it must do so once more, that is a wait.
    was_deferred: bool,
}

/// How a request to LoopAI went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestHealth {
    /// LoopAI is there, whatever it answered.
    Healthy,
    /// LoopAI is in trouble.
    Unavailable,
}

/// How much LoopAI has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiUsage {
    /// Runs that have a place.
    pub running: i64,
    /// Of all runs, those for which it was asked within the last hour.
    pub last_hour: i64,
    /// Runs that were told to come again.
    pub waiting: i64,
    /// How the gate stands.
    pub breaker: BreakerState,
}

impl Store {
    /// Takes a place at LoopAI for a run, or tells why there is none and when to come again; then the
    /// submission's story tells that it waits. A run that has a place keeps it, and may still be told to wait,
    /// while LoopAI is away.
    pub async fn acquire_loopai_slot(
        &self,
        run: RunKey,
        limits: LoopAiLimits,
    ) -> StoreResult<SlotOutcome> {
        transaction!(self, connection => {
            let status = match lock(connection, run.submission).await? {
                Some((status, current)) if current == run.number => status,
                _ => return Ok(SlotOutcome::Superseded),
            };
            if status.is_final() {
                return Ok(SlotOutcome::Ended);
            }
            let (mut breaker, now) = lock_breaker(connection).await?;
            let row = SlotRow::find(connection, run).await?;
            let row = row.unwrap_or_else(|| SlotRow::new(now));
            let ahead = row.ahead(connection, now).await?;
            let unavailable = |rest| (WaitReason::LoopAiUnavailable, rest);
            let mut deferral = breaker.open_for(now).map(unavailable);
            if deferral.is_none() {
                deferral = slots::unavailable(connection, run, row, &ahead, limits, now).await?;
            }
            let Some((reason, after)) = deferral.or_else(|| breaker.try_pass(now).err().map(unavailable)) else {
                let granted = SlotRow { acquired_at: Some(now), turn_expires_at: None, ..row };
                granted.write(connection, run).await?;
                let is_healthy = breaker.is_healthy();
                if !is_healthy {
                    save_breaker(connection, &breaker).await?;
                }
                let (epoch, was_deferred) = (breaker.epoch(), row.turn_expires_at.is_some());
                return Ok(SlotOutcome::Granted(Permit { run, epoch, is_healthy, was_deferred }));
            };
            let later = match reason {
                WaitReason::Slot => Duration::ZERO,
                WaitReason::HourlyLimit | WaitReason::LoopAiUnavailable => breaker.turn_delay(ahead.all),
            };
            let after = bounded_wait(after + later, run.submission);
            let deferred = SlotRow { turn_expires_at: Some(now + after + TURN_GRACE), ..row };
            deferred.write(connection, run).await?;
            events::append_waiting(connection, run.submission, status).await?;
            Ok(SlotOutcome::Deferred { reason, after })
        })
    }

    /// Notes how a request went that was let through. Where LoopAI is taken for away now, tells when to come
    /// again. The submission's story tells that it waits, if it comes again by that, or not for the first time. A
    /// run whose request failed goes to the end of the queue: were it to blame itself, the others would have to
    /// wait for it.
    pub async fn record_loopai_request(
        &self,
        permit: Permit,
        health: RequestHealth,
    ) -> StoreResult<Option<Duration>> {
        let (run, is_healthy) = (permit.run, health == RequestHealth::Healthy);
        if is_healthy && permit.is_healthy && self.is_healthy().await? {
            // No news, and not worth the lock.
            return Ok(None);
        }
        transaction!(self, connection => {
            let row = lock(connection, run.submission).await?;
            let (mut breaker, now) = lock_breaker(connection).await?;
            let others_wait = slots::waiting_runs(connection, Some(run.submission), now).await? > 0;
            breaker.record(now, permit.epoch, is_healthy, others_wait);
            save_breaker(connection, &breaker).await?;
            let going = row.filter(|(status, number)| {
                !is_healthy && *number == run.number && !status.is_final()
            });
            let Some((status, _)) = going else { return Ok(None) };
            let last = SlotRow { acquired_at: Some(now), ..SlotRow::new(now) };
            let mut after = None;
            if let Some(rest) = breaker.open_for(now) {
                let ahead = last.ahead(connection, now).await?;
                after = Some(bounded_wait(rest + breaker.turn_delay(ahead.all), run.submission));
            }
            // Without a wish it comes again by the retry policy.
            let turn_expires_at = Some(now + after.unwrap_or(MAX_WAIT) + TURN_GRACE);
            SlotRow { turn_expires_at, ..last }.write(connection, run).await?;
            if after.is_some() || permit.was_deferred {
                events::append_waiting(connection, run.submission, status).await?;
            }
            Ok(after)
        })
    }

    /// Gives a pass back with which LoopAI was not asked: had it been the one to try, another may at once.
    pub async fn return_loopai_permit(&self, permit: Permit) -> StoreResult<()> {
        if permit.is_healthy {
            return Ok(());
        }
        transaction!(self, connection => {
            let (mut breaker, _) = lock_breaker(connection).await?;
            breaker.release_probe(permit.epoch);
            save_breaker(connection, &breaker).await
        })
    }

    /// How long looks at a submission's execution had better wait, since LoopAI is away; none while it is not.
    pub async fn loopai_retry_after(
        &self,
        submission: SubmissionId,
    ) -> StoreResult<Option<Duration>> {
        let (breaker, now) = read_breaker(&mut *self.connection().await?).await?;
        let rest = breaker.open_for(now);
        Ok(rest.map(|rest| bounded_wait(rest + rest * spread(submission) / 100, submission)))
    }

    async fn is_healthy(&self) -> StoreResult<bool> {
        Ok(read_breaker(&mut *self.connection().await?).await?.0.is_healthy())
    }

    /// How much LoopAI has to do now.
    pub async fn loopai_usage(&self) -> StoreResult<LoopAiUsage> {
        let mut connection = self.connection().await?;
        let (breaker, now) = read_breaker(&mut connection).await?;
        Ok(LoopAiUsage {
            running: slots::taken(&mut connection).await?,
            last_hour: slots::taken_in_last_hour(&mut connection, now).await?,
            waiting: slots::waiting_runs(&mut connection, None, now).await?,
            breaker: breaker.state(),
        })
    }
}

/// The gate as it stands, and the time.
async fn read_breaker(connection: &mut Connection) -> StoreResult<(CircuitBreaker, UtcTime)> {
    let found = loopai_breaker::table
        .find(BREAKER_ROW)
        .select((CircuitBreaker::as_select(), sql::<Datetime>("NOW(6)")))
        .first(connection)
        .await?;
    Ok(found)
}

/// Locks the gate; tells the time after the wait for it.
async fn lock_breaker(connection: &mut Connection) -> StoreResult<(CircuitBreaker, UtcTime)> {
    let found = loopai_breaker::table
        .find(BREAKER_ROW)
        // `NOW` would be the time before the wait.
        .select((CircuitBreaker::as_select(), sql::<Datetime>("SYSDATE(6)")))
        .for_update()
        .first(connection)
        .await?;
    Ok(found)
}

async fn save_breaker(connection: &mut Connection, breaker: &CircuitBreaker) -> StoreResult<()> {
    diesel::update(loopai_breaker::table.find(BREAKER_ROW))
        .set(breaker)
        .execute(connection)
        .await?;
    Ok(())
}

/// No longer and no shorter than anybody is to wait. Those who would wait longer come at different times all the
/// same.
fn bounded_wait(after: Duration, submission: SubmissionId) -> Duration {
    if after <= MAX_WAIT {
        return after.max(MIN_WAIT);
    }
    MAX_WAIT - MAX_WAIT / 2 * spread(submission) / 100
}

/// A number from 0 to 99 that differs from submission to submission.
fn spread(submission: SubmissionId) -> u32 {
    let digits = submission.to_string();
    u32::from_str_radix(&digits[..4], 16).unwrap_or_default() % 100
}

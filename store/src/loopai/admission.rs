//! Decides whether a run may send its request to LoopAI. A run acquires a slot and passes the circuit breaker in one
//! transaction, under the lock of the breaker's row. All workers therefore share the limits and the breaker's state.

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

/// Id of the only row of `loopai_breaker`.
const BREAKER_ROW: i32 = 1;
/// Temporal treats a delay close to zero as no requested delay and uses the retry policy instead, whose delays are up
/// to a minute.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// How late a deferred run may return without losing its turn.
const TURN_GRACE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub enum SlotOutcome {
    /// The caller must report the outcome with [`Store::record_loopai_request`], or call
    /// [`Store::release_loopai_permit`] if it sent no request.
    Granted(Permit),
    Deferred {
        reason: WaitReason,
        after: Duration,
    },
    Ended,
    Superseded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    run: RunKey,
    epoch: i64,
    /// Whether the breaker had no failures. If so, a success changes nothing.
    is_healthy: bool,
    /// Whether the run was deferred before. If its request fails now, the patient sees that the submission is waiting.
    was_deferred: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestHealth {
    Healthy,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiUsage {
    pub running: i64,
    pub last_hour: i64,
    pub waiting: i64,
    pub breaker: BreakerState,
}

impl Store {
    /// Acquires a slot for a run. If the run is deferred, the patient sees that the submission is waiting. While LoopAI
    /// is unavailable, even a run with a slot is deferred.
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

    /// Records the outcome of a request. Returns the delay before the next attempt if LoopAI is unavailable now. A run
    /// whose request failed is moved to the end of the queue, because its request may be the cause of the failure.
    pub async fn record_loopai_request(
        &self,
        permit: Permit,
        health: RequestHealth,
    ) -> StoreResult<Option<Duration>> {
        let (run, is_healthy) = (permit.run, health == RequestHealth::Healthy);
        if is_healthy && permit.is_healthy && self.is_healthy().await? {
            // Nothing changes, so the lock is not needed.
            return Ok(None);
        }
        transaction!(self, connection => {
            let row = lock(connection, run.submission).await?;
            let (mut breaker, now) = lock_breaker(connection).await?;
            let others_wait = slots::waiting_runs(connection, Some(run.submission), now).await? > 0;
            breaker.record(now, permit.epoch, is_healthy, others_wait);
            save_breaker(connection, &breaker).await?;
            let active = row.filter(|(status, number)| {
                !is_healthy && *number == run.number && !status.is_final()
            });
            let Some((status, _)) = active else { return Ok(None) };
            let last = SlotRow { acquired_at: Some(now), ..SlotRow::new(now) };
            let mut after = None;
            if let Some(rest) = breaker.open_for(now) {
                let ahead = last.ahead(connection, now).await?;
                after = Some(bounded_wait(rest + breaker.turn_delay(ahead.all), run.submission));
            }
            // Without a requested delay, the retry policy determines when the run returns.
            let turn_expires_at = Some(now + after.unwrap_or(MAX_WAIT) + TURN_GRACE);
            SlotRow { turn_expires_at, ..last }.write(connection, run).await?;
            if after.is_some() || permit.was_deferred {
                events::append_waiting(connection, run.submission, status).await?;
            }
            Ok(after)
        })
    }

    /// Releases a permit that was not used for a request. If the permit was for a probe, another run may send a probe
    /// at once.
    pub async fn release_loopai_permit(&self, permit: Permit) -> StoreResult<()> {
        if permit.is_healthy {
            return Ok(());
        }
        transaction!(self, connection => {
            let (mut breaker, _) = lock_breaker(connection).await?;
            breaker.release_probe(permit.epoch);
            save_breaker(connection, &breaker).await
        })
    }

    /// How long to wait before the next poll of an execution; `None` unless LoopAI is unavailable.
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

async fn read_breaker(connection: &mut Connection) -> StoreResult<(CircuitBreaker, UtcTime)> {
    let found = loopai_breaker::table
        .find(BREAKER_ROW)
        .select((CircuitBreaker::as_select(), sql::<Datetime>("NOW(6)")))
        .first(connection)
        .await?;
    Ok(found)
}

async fn lock_breaker(connection: &mut Connection) -> StoreResult<(CircuitBreaker, UtcTime)> {
    let found = loopai_breaker::table
        .find(BREAKER_ROW)
        // `NOW` would return the time before the wait for the lock.
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

/// Limits a wait to [`MAX_WAIT`]. Longer waits are spread over the upper half of that time, so that the runs do not all
/// return at once.
fn bounded_wait(after: Duration, submission: SubmissionId) -> Duration {
    if after <= MAX_WAIT {
        return after.max(MIN_WAIT);
    }
    MAX_WAIT - MAX_WAIT / 2 * spread(submission) / 100
}

/// A number from 0 to 99 that depends on the submission.
fn spread(submission: SubmissionId) -> u32 {
    let digits = submission.to_string();
    u32::from_str_radix(&digits[..4], 16).unwrap_or_default() % 100
}

//! Decides whether a run may send its request to LoopAI. A run acquires a slot and passes the circuit breaker in a
//! single transaction that locks the breaker's row, so all workers share the limits and the breaker's state.

use crate::codes::FailureCode;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{loopai_breaker, submissions};
use crate::db::utc_time::UtcTime;
use crate::loopai::breaker::{
    BreakerState, CircuitBreaker, Outcome, RETRY_SOON, RequestHealth, RequestKind,
};
use crate::loopai::slots::{self, LoopAiLimits, MAX_WAIT, REPORTED_FAILURES, SlotRow, WaitReason};
use crate::pauses::{self, PauseTarget};
use crate::submissions::events;
use crate::submissions::row::lock;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use std::time::Duration;

const BREAKER_ROW: i32 = 1;
/// Temporal ignores requested delays close to zero and uses the retry policy's longer delays instead.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// A deferred run that returns later than this after its turn loses the turn.
const TURN_GRACE: Duration = Duration::from_secs(30);
/// A run ends after this many requests that failed possibly because of its submission, provided that other runs'
/// requests succeeded before each of them. The delays between these requests add up to about 14 minutes.
const MAX_OWN_FAILURES: i32 = 10;
/// Maximum delay for a run that fails at LoopAI even though LoopAI accepts other requests.
const MAX_OWN_WAIT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub enum SlotOutcome {
    /// The caller must report the outcome with [`Store::record_loopai_request`] or, if no request was sent, call
    /// [`Store::release_loopai_permit`].
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
    kind: RequestKind,
    /// Whether the breaker was closed with no recorded failures, in which case a successful request does not change it.
    is_healthy: bool,
    /// Whether the run has been deferred. If its request fails, the patient is shown that the submission is waiting.
    was_deferred: bool,
}

/// What happens after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRequest {
    /// A failed request may be repeated after this delay or, if there is none, when the retry policy decides.
    Retry(Option<Duration>),
    /// The run must end because LoopAI repeatedly fails for its submission even though it accepts other requests.
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiUsage {
    pub running: i64,
    pub last_hour: i64,
    pub waiting: i64,
    /// Number of open runs that repeatedly fail at LoopAI even though it accepts other requests.
    pub failing: i64,
    pub breaker: BreakerState,
}

impl Store {
    /// Acquires a slot for a run. If the run is deferred, the patient is shown that the submission is waiting. While
    /// LoopAI is unavailable, even a run that holds a slot is deferred.
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
            let is_first = row.failures == 0;
            let is_paused = pauses::is_paused(connection, PauseTarget::LoopaiRequests).await?;
            let mut deferral = match is_paused {
                true => Some((WaitReason::Paused, slots::turn_delay(ahead.all, slots::MIN_NEXT))),
                false => breaker.open_for(now, is_first).map(unavailable),
            };
            if deferral.is_none() {
                deferral = slots::unavailable(connection, run, row, &ahead, limits, now).await?;
            }
            let passed = match deferral {
                Some(deferral) => Err(deferral),
                None => breaker.try_pass(now, is_first).map_err(unavailable),
            };
            let kind = match passed {
                Ok(kind) => kind,
                Err((reason, after)) => {
                    let later = match reason {
                        WaitReason::Slot | WaitReason::Paused => Duration::ZERO,
                        WaitReason::HourlyLimit | WaitReason::LoopAiUnavailable => breaker.turn_delay(ahead.all),
                    };
                    let after = bounded_wait(after + later, run.submission);
                    let deferred = SlotRow { turn_expires_at: Some(now + after + TURN_GRACE), ..row };
                    deferred.write(connection, run).await?;
                    events::append_waiting(connection, run.submission, status).await?;
                    return Ok(SlotOutcome::Deferred { reason, after });
                }
            };
            let granted = SlotRow {
                acquired_at: Some(now),
                held_until: None,
                turn_expires_at: None,
                ..row
            };
            granted.write(connection, run).await?;
            let is_healthy = breaker.is_healthy();
            if !is_healthy {
                save_breaker(connection, &breaker).await?;
            }
            let (epoch, was_deferred) = (breaker.epoch(), row.turn_expires_at.is_some());
            Ok(SlotOutcome::Granted(Permit { run, epoch, kind, is_healthy, was_deferred }))
        })
    }

    /// Records the outcome of a request. If the request failed, its run moves to the end of the queue because the
    /// request itself may have caused the failure.
    pub async fn record_loopai_request(
        &self,
        permit: Permit,
        health: RequestHealth,
    ) -> StoreResult<NextRequest> {
        let run = permit.run;
        let is_accepted = health == RequestHealth::Accepted;
        if is_accepted && permit.is_healthy && self.is_healthy().await? {
            // A success does not change a healthy breaker, so no lock is needed here.
            return Ok(NextRequest::Retry(None));
        }
        transaction!(self, connection => {
            let row = lock(connection, run.submission).await?;
            let (mut breaker, now) = lock_breaker(connection).await?;
            let slot = SlotRow::find(connection, run).await?.unwrap_or_else(|| SlotRow::new(now));
            let others_wait = slots::waiting_runs(connection, Some(run.submission), now).await? > 0;
            let is_own = health.is_attributable()
                && slot.failed_at.is_some_and(|at| breaker.succeeded_after(at));
            let (epoch, kind, last_failure) = (permit.epoch, permit.kind, slot.failed_at);
            breaker.record(now, Outcome { epoch, kind, health, last_failure }, others_wait);
            save_breaker(connection, &breaker).await?;
            let active = row.filter(|(status, number)| {
                health.is_failure() && *number == run.number && !status.is_final()
            });
            let Some((status, _)) = active else { return Ok(NextRequest::Retry(None)) };
            let failed = slot.after_failure(now, health, is_own);
            let next = if is_own {
                // The run is not waiting for LoopAI, so it has no turn in the queue.
                failed.write(connection, run).await?;
                after_own_failure(failed.own_failures, run.submission)
            } else {
                NextRequest::Retry(queue_retry(connection, run, failed, &breaker, now).await?)
            };
            if next != NextRequest::Retry(None) || permit.was_deferred {
                events::append_waiting(connection, run.submission, status).await?;
            }
            if failed.own_failures == REPORTED_FAILURES && status == Status::Pending {
                report_failing(connection, run.submission).await?;
            }
            Ok(next)
        })
    }

    /// Releases a permit that was not used. If it was for a probe, another run may send a probe immediately.
    pub async fn release_loopai_permit(&self, permit: Permit) -> StoreResult<()> {
        if permit.kind != RequestKind::Probe {
            return Ok(());
        }
        transaction!(self, connection => {
            let (mut breaker, _) = lock_breaker(connection).await?;
            breaker.release_probe(permit.epoch);
            save_breaker(connection, &breaker).await
        })
    }

    /// Returns the delay before an execution is polled again, or `None` if LoopAI is available.
    pub async fn loopai_retry_after(
        &self,
        submission: SubmissionId,
    ) -> StoreResult<Option<Duration>> {
        let (breaker, now) = read_breaker(&mut *self.connection().await?).await?;
        let rest = breaker.unavailable_for(now);
        Ok(rest.map(|rest| bounded_wait(rest + rest * spread(submission) / 100, submission)))
    }

    async fn is_healthy(&self) -> StoreResult<bool> {
        Ok(read_breaker(&mut *self.connection().await?).await?.0.is_healthy())
    }

    pub async fn loopai_usage(&self) -> StoreResult<LoopAiUsage> {
        let mut connection = self.connection().await?;
        let (breaker, now) = read_breaker(&mut connection).await?;
        Ok(LoopAiUsage {
            running: slots::taken(&mut connection, now).await?,
            last_hour: slots::taken_in_last_hour(&mut connection, now).await?,
            waiting: slots::waiting_runs(&mut connection, None, now).await?,
            failing: slots::failing_runs(&mut connection).await?,
            breaker: breaker.state(),
        })
    }
}

pub(crate) async fn read_breaker(
    connection: &mut Connection,
) -> StoreResult<(CircuitBreaker, UtcTime)> {
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
        // `SYSDATE` is used because `NOW` would return the time before the query waited for the lock.
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

/// Moves a run whose request has failed to the end of the queue. If the breaker is open, returns the delay before the
/// next attempt.
async fn queue_retry(
    connection: &mut Connection,
    run: RunKey,
    failed: SlotRow,
    breaker: &CircuitBreaker,
    now: UtcTime,
) -> StoreResult<Option<Duration>> {
    let mut after = None;
    if let Some(rest) = breaker.open_for(now, false) {
        let ahead = failed.ahead(connection, now).await?;
        after = Some(bounded_wait(rest + breaker.turn_delay(ahead.all), run.submission));
    }
    // Without a requested delay, the retry policy determines when the run returns.
    let turn_expires_at = Some(now + after.unwrap_or(MAX_WAIT) + TURN_GRACE);
    SlotRow { turn_expires_at, ..failed }.write(connection, run).await?;
    Ok(after)
}

/// Shows staff that LoopAI fails for a pending submission. The error code is cleared as soon as LoopAI accepts a
/// request.
async fn report_failing(connection: &mut Connection, submission: SubmissionId) -> StoreResult<()> {
    diesel::update(submissions::table.find(submission))
        .set(submissions::error_code.eq(FailureCode::LoopaiRepeatedFailure.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns what happens after a failed request if LoopAI accepts other requests. The delay doubles with each failure
/// and is shortened by up to a quarter to spread out such runs.
fn after_own_failure(own_failures: i32, submission: SubmissionId) -> NextRequest {
    if own_failures >= MAX_OWN_FAILURES {
        return NextRequest::GiveUp;
    }
    let doublings = u32::try_from(own_failures - 1).unwrap_or_default();
    let longest = (RETRY_SOON * 2_u32.pow(doublings)).min(MAX_OWN_WAIT);
    let jitter = (spread(submission) + 37 * doublings) % 100;
    NextRequest::Retry(Some(longest - longest / 4 * jitter / 100))
}

/// Limits a delay to [`MAX_WAIT`]. Longer delays are replaced with a value between half of `MAX_WAIT` and `MAX_WAIT` to
/// spread out the runs.
fn bounded_wait(after: Duration, submission: SubmissionId) -> Duration {
    if after <= MAX_WAIT {
        return after.max(MIN_WAIT);
    }
    MAX_WAIT - MAX_WAIT / 2 * spread(submission) / 100
}

/// Returns a number from 0 to 99 derived from the submission id.
fn spread(submission: SubmissionId) -> u32 {
    let digits = submission.to_string();
    u32::from_str_radix(&digits[..4], 16).unwrap_or_default() % 100
}

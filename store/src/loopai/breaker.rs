//! The circuit breaker for LoopAI. It opens when requests from several runs fail and none succeeds, and then admits one
//! probe at a time. After a successful request, the breaker is half-open: it admits waiting requests at an increasing
//! rate before it closes. The `admission` module stores the breaker in a single locked row so that all workers share
//! its state.
//!
//! Failures count once per run, so a single submission that LoopAI cannot process never opens the breaker. If LoopAI
//! responds with 500, it is reachable, and the submission may be the cause. If only such failures opened the breaker,
//! it blocks repeated requests but still admits each run's first request. If LoopAI is overloaded, the breaker becomes
//! half-open even while other requests succeed.

use crate::db::schema::loopai_breaker;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use std::time::Duration;
use strum::{Display, VariantNames};

/// Number of runs whose requests must fail before the breaker opens.
const FAILURE_THRESHOLD: i32 = 5;
/// Time without a successful request before the breaker may open. As long as some requests succeed, LoopAI counts as
/// available.
const MIN_TIME_WITHOUT_SUCCESS: Duration = Duration::from_secs(2);
/// A run's failures count once within this time, which is the longest interval between two requests from the same run.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// How long the breaker stays open after it first trips. The time doubles with each subsequent trip.
const FIRST_OPEN_TIME: Duration = Duration::from_secs(4);
/// Maximum time that the breaker stays open before the next probe.
const MAX_OPEN_TIME: Duration = Duration::from_secs(60);
/// Maximum time before the next probe for a run that has not sent a request yet. Only such a run can show whether the
/// submissions that have failed so far are the cause.
const FIRST_REQUEST_OPEN_TIME: Duration = Duration::from_secs(5);
/// An activity attempt takes at most 45 s. If a request has no outcome after this time, its worker has died.
pub(crate) const MAX_REQUEST_TIME: Duration = Duration::from_secs(45);
/// Number of steps by which a failure lowers a half-open breaker's request rate. A success raises the rate by one step,
/// so the rate grows while fewer than one in three requests fails. An overloaded LoopAI therefore receives 1.5 times as
/// many requests as it can process.
const FAILURE_STEPS: i32 = 2;
/// After this many steps, LoopAI counts as recovered, and further failures count as a new incident.
const RECOVERED_STEPS: i32 = 20;
/// Delay for runs that are waiting for a probe to finish and for the runs at the front of the queue for a slot.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum BreakerState {
    Closed,
    /// LoopAI has responded again. Waiting requests are admitted one by one, slowly at first.
    HalfOpen,
    /// LoopAI is unavailable. Requests are deferred, except for one probe at a time.
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestHealth {
    Accepted,
    /// LoopAI is available, but it rejected this request or is still processing an earlier one.
    Rejected,
    /// LoopAI responded with 500. It may only be this submission that it cannot process.
    ServerError,
    /// LoopAI has too many requests: it responded with 429, 503 or a `Retry-After` header.
    Overloaded,
    /// LoopAI could not be reached, directly or by its gateway, so it has probably not accepted the request.
    Unreachable,
    /// There was no usable response, so LoopAI may have accepted the request.
    NoResponse,
}

impl RequestHealth {
    pub(crate) fn is_failure(self) -> bool {
        self == Self::ServerError || self.is_unavailable()
    }

    /// Returns whether other runs' requests would probably fail too.
    pub fn is_unavailable(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unreachable | Self::NoResponse)
    }

    /// Returns whether the submission may be the cause of the failure. An overloaded LoopAI also fails for healthy
    /// submissions, and the first sign of an overload is often a missing response.
    pub(crate) fn is_attributable(self) -> bool {
        self == Self::ServerError
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Regular,
    /// The one request that an open breaker admits at a time to test whether LoopAI has recovered.
    Probe,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) epoch: i64,
    pub(crate) kind: RequestKind,
    pub(crate) health: RequestHealth,
    /// Time of the same run's previous failure.
    pub(crate) last_failure: Option<UtcTime>,
}

#[derive(Debug, Clone, Default, PartialEq, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = loopai_breaker, treat_none_as_null = true)]
pub(crate) struct CircuitBreaker {
    /// Number of runs whose requests have failed since `counted_since`.
    failures: i32,
    /// Number of these runs that found LoopAI unavailable.
    unavailable: i32,
    counted_since: Option<UtcTime>,
    failed_at: Option<UtcTime>,
    succeeded_at: Option<UtcTime>,
    /// Number of times the breaker has opened since it was last closed.
    trips: i32,
    /// Total number of times the breaker has opened. The outcomes of requests from earlier epochs are ignored.
    epoch: i64,
    /// 1 if the breaker admits each run's first request even though it is not closed, and 0 otherwise.
    admits_first_requests: i32,
    open_until: Option<UtcTime>,
    probe_until: Option<UtcTime>,
    /// Set while the breaker is half-open. Each step has a slightly higher request rate than the previous one.
    ramp_step: Option<i32>,
    next_request_at: Option<UtcTime>,
}

impl CircuitBreaker {
    pub(crate) fn state(&self) -> BreakerState {
        match (self.open_until, self.ramp_step) {
            (Some(_), _) => BreakerState::Open,
            (None, Some(_)) => BreakerState::HalfOpen,
            (None, None) => BreakerState::Closed,
        }
    }

    /// Returns the times of the latest failed and the latest accepted request. Requests that a healthy LoopAI accepts
    /// are not recorded.
    pub(crate) fn latest_outcomes(&self) -> (Option<UtcTime>, Option<UtcTime>) {
        (self.failed_at, self.succeeded_at)
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.state() == BreakerState::Closed
            && self.failures == 0
            && self.failed_at <= self.succeeded_at
    }

    /// Returns whether LoopAI has accepted any run's request after `time`.
    pub(crate) fn succeeded_after(&self, time: UtcTime) -> bool {
        self.succeeded_at > Some(time)
    }

    /// Admits a request, or returns the delay before its next attempt.
    pub(crate) fn try_pass(
        &mut self,
        now: UtcTime,
        is_first: bool,
    ) -> Result<RequestKind, Duration> {
        if let Some(rest) = self.open_for(now, is_first) {
            return Err(rest);
        }
        if is_first && self.admits_first_requests() {
            return Ok(RequestKind::Regular);
        }
        if self.open_until.is_some() {
            self.probe_until = Some(now + MAX_REQUEST_TIME);
            return Ok(RequestKind::Probe);
        }
        if let Some(ramp_step) = self.ramp_step {
            if let Some(rest) =
                self.next_request_at.and_then(|next_request_at| until(next_request_at, now))
            {
                return Err(rest);
            }
            self.next_request_at = Some(now + Duration::from_secs_f64(1.0 / rate(ramp_step)));
        }
        Ok(RequestKind::Regular)
    }

    /// Returns the time until the next probe may be sent, or `None` if a probe or regular request may be sent now.
    /// `is_first` is true if the run has not sent a request yet.
    pub(crate) fn open_for(&self, now: UtcTime, is_first: bool) -> Option<Duration> {
        let mut open_until = self.open_until?;
        if is_first && self.admits_first_requests() {
            return None;
        }
        if is_first {
            let opened_at = open_until - open_time(self.trips.saturating_sub(1));
            open_until = open_until.min(opened_at + FIRST_REQUEST_OPEN_TIME);
        }
        let probe_running = self.probe_until.is_some_and(|probe_until| probe_until > now);
        until(open_until, now).or(probe_running.then_some(RETRY_SOON))
    }

    /// Returns the time until the next probe if LoopAI is unavailable for all requests, including polls.
    pub(crate) fn unavailable_for(&self, now: UtcTime) -> Option<Duration> {
        self.open_for(now, false).filter(|_| !self.admits_first_requests())
    }

    /// Returns the time between the first waiting request and a request with `ahead` requests before it, assuming all
    /// of them succeed.
    pub(crate) fn turn_delay(&self, ahead: i64) -> Duration {
        let ramp_step = self.ramp_step.unwrap_or_default();
        // The difference between the two rates is the sum of the intervals between the requests, up to rounding.
        let last = i32::try_from(ahead).unwrap_or(i32::MAX).saturating_add(ramp_step);
        Duration::from_secs_f64(rate(last) - rate(ramp_step))
    }

    /// Records a request's outcome. After a success, the breaker closes if no other runs are waiting.
    pub(crate) fn record(&mut self, now: UtcTime, outcome: Outcome, others_wait: bool) {
        if outcome.health == RequestHealth::Accepted {
            // A late success does not close the breaker, but it shows which runs fail even though others succeed.
            self.succeeded_at = Some(now);
        }
        if outcome.epoch != self.epoch {
            return;
        }
        if outcome.health.is_failure() {
            self.record_failure(now, outcome);
        } else {
            self.record_success(now, others_wait);
        }
    }

    fn record_success(&mut self, now: UtcTime, others_wait: bool) {
        (self.failures, self.unavailable, self.counted_since) = (0, 0, Some(now));
        self.probe_until = None;
        if self.open_until.take().is_some() {
            self.ramp_step = Some(0);
            self.next_request_at = Some(now + Duration::from_secs_f64(1.0 / rate(0)));
        } else {
            self.ramp_step = self.ramp_step.map(|ramp_step| ramp_step.saturating_add(1));
        }
        if self.ramp_step.is_some_and(|ramp_step| ramp_step >= RECOVERED_STEPS) {
            self.trips = 0;
        }
        if !others_wait {
            (self.ramp_step, self.next_request_at, self.trips) = (None, None, 0);
            self.admits_first_requests = 0;
        }
    }

    fn record_failure(&mut self, now: UtcTime, outcome: Outcome) {
        self.failed_at = Some(now);
        let is_unavailable = outcome.health.is_unavailable();
        let is_counted = self.count_failure(now, outcome.last_failure, is_unavailable);
        if outcome.kind == RequestKind::Probe && self.open_until.is_some() {
            if !is_unavailable {
                self.admits_first_requests = 1;
            }
            return self.trip(now);
        }
        if is_counted && outcome.health == RequestHealth::Overloaded && self.open_until.is_none() {
            self.ramp_step = self.ramp_step.or(Some(RECOVERED_STEPS));
            self.admits_first_requests = 0;
        }
        if is_counted && is_unavailable {
            self.ramp_step = self.ramp_step.map(|ramp_step| (ramp_step - FAILURE_STEPS).max(0));
        }
        let is_outage = self.unavailable >= FAILURE_THRESHOLD;
        let may_open = match self.open_until {
            // Only first requests were admitted, and even they found LoopAI unavailable.
            Some(_) => is_outage && self.admits_first_requests(),
            None => self.failures >= FAILURE_THRESHOLD,
        };
        let succeeded_recently =
            self.succeeded_at.is_some_and(|at| now.since(at) < MIN_TIME_WITHOUT_SUCCESS);
        if may_open && !succeeded_recently {
            self.admits_first_requests = i32::from(!is_outage);
            self.trip(now);
        }
    }

    /// Counts a failure unless one from the same run has already been counted. Returns whether it was counted.
    fn count_failure(
        &mut self,
        now: UtcTime,
        last_failure: Option<UtcTime>,
        is_unavailable: bool,
    ) -> bool {
        if self.counted_since.is_none_or(|since| now.since(since) >= FAILURE_WINDOW) {
            (self.failures, self.unavailable, self.counted_since) = (0, 0, Some(now));
        }
        let is_counted = last_failure < self.counted_since;
        if is_counted {
            self.failures += 1;
            self.unavailable += i32::from(is_unavailable);
        }
        is_counted
    }

    pub(crate) fn release_probe(&mut self, epoch: i64) {
        if epoch == self.epoch {
            self.probe_until = None;
        }
    }

    fn admits_first_requests(&self) -> bool {
        self.admits_first_requests != 0
    }

    fn trip(&mut self, now: UtcTime) {
        self.open_until = Some(now + open_time(self.trips));
        self.trips = self.trips.saturating_add(1);
        self.epoch += 1;
        (self.probe_until, self.ramp_step, self.next_request_at) = (None, None, None);
    }
}

/// Returns how long the breaker stays open if it has previously opened `trips` times.
fn open_time(trips: i32) -> Duration {
    let doublings = u32::try_from(trips).unwrap_or_default().min(10);
    (FIRST_OPEN_TIME * 2_u32.pow(doublings)).min(MAX_OPEN_TIME)
}

/// Returns the request rate at a step, in requests per second. The rate starts at one and grows by one every second if
/// every request succeeds immediately.
fn rate(ramp_step: i32) -> f64 {
    (1.0 + 2.0 * f64::from(ramp_step)).sqrt()
}

fn until(then: UtcTime, now: UtcTime) -> Option<Duration> {
    Some(then.since(now)).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests;

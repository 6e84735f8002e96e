//! The circuit breaker for LoopAI. It opens after several consecutive failures and then admits one probe at a time.
//! After a successful probe it is half-open: it admits the waiting requests at an increasing rate, and then closes.
//! `admission` stores it in one locked row, so that all workers share it.

use crate::db::schema::loopai_breaker;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use std::time::Duration;

const FAILURE_THRESHOLD: i32 = 5;
/// Doubles with each trip.
const FIRST_OPEN_TIME: Duration = Duration::from_secs(4);
/// Also the longest time until a recovery is detected.
const MAX_OPEN_TIME: Duration = Duration::from_secs(60);
/// An activity attempt takes at most 45 s. If a request has no outcome by then, its worker has died.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(45);
/// Number of steps by which a failure slows a half-open breaker. A success speeds it up by one step, so the rate grows
/// while fewer than one request in three fails. An overloaded LoopAI therefore gets 1.5 times as many requests as it
/// can process.
const FAILURE_STEPS: i32 = 2;
/// After this many steps LoopAI is considered recovered, and the next failure is considered a new incident.
const RECOVERED_STEPS: i32 = 20;
/// Delay while a probe is running, and for the next runs in the queue.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// LoopAI has recovered. Waiting requests are admitted one by one, slowly at first.
    HalfOpen,
    /// LoopAI is unavailable. Requests are deferred, except for one probe at a time.
    Open,
}

#[derive(Debug, Clone, Default, PartialEq, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = loopai_breaker, treat_none_as_null = true)]
pub(crate) struct CircuitBreaker {
    failures: i32,
    /// How often the breaker opened since it was last closed.
    trips: i32,
    /// How often the breaker has opened. Outcomes of requests from earlier epochs are ignored.
    epoch: i64,
    open_until: Option<UtcTime>,
    probe_until: Option<UtcTime>,
    /// Set while the breaker is half-open. Each step is a little faster than the one before.
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

    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.failures == 0 && self.state() == BreakerState::Closed
    }

    /// Admits a request, or returns the delay before its next attempt.
    pub(crate) fn try_pass(&mut self, now: UtcTime) -> Result<(), Duration> {
        if let Some(rest) = self.open_for(now) {
            return Err(rest);
        }
        if self.open_until.is_some() {
            self.probe_until = Some(now + MAX_REQUEST_TIME);
        } else if let Some(ramp_step) = self.ramp_step {
            if let Some(rest) =
                self.next_request_at.and_then(|next_request_at| until(next_request_at, now))
            {
                return Err(rest);
            }
            self.next_request_at = Some(now + Duration::from_secs_f64(1.0 / rate(ramp_step)));
        }
        Ok(())
    }

    /// Time until the next probe may be sent; `None` if a probe or a request may be sent now.
    pub(crate) fn open_for(&self, now: UtcTime) -> Option<Duration> {
        let open_until = self.open_until?;
        let probe_running = self.probe_until.is_some_and(|probe_until| probe_until > now);
        until(open_until, now).or(probe_running.then_some(RETRY_SOON))
    }

    /// Time between the first waiting request and one with `ahead` requests before it, if all of them succeed.
    pub(crate) fn turn_delay(&self, ahead: i64) -> Duration {
        let ramp_step = self.ramp_step.unwrap_or_default();
        // This difference is the sum of the intervals between the requests, up to rounding.
        let last = i32::try_from(ahead).unwrap_or(i32::MAX).saturating_add(ramp_step);
        Duration::from_secs_f64(rate(last) - rate(ramp_step))
    }

    /// Records the outcome of a request. The breaker closes after a success if no other runs are waiting.
    pub(crate) fn record(&mut self, now: UtcTime, epoch: i64, succeeded: bool, others_wait: bool) {
        if epoch != self.epoch {
            return;
        }
        let was_probe = self.open_until.take().is_some();
        self.probe_until = None;
        if !succeeded {
            self.failures += 1;
            self.ramp_step = self.ramp_step.map(|ramp_step| (ramp_step - FAILURE_STEPS).max(0));
            if was_probe || self.failures >= FAILURE_THRESHOLD {
                self.trip(now);
            }
            return;
        }
        self.failures = 0;
        if was_probe {
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
        }
    }

    pub(crate) fn release_probe(&mut self, epoch: i64) {
        if epoch == self.epoch {
            self.probe_until = None;
        }
    }

    fn trip(&mut self, now: UtcTime) {
        let doublings = u32::try_from(self.trips).unwrap_or_default().min(10);
        let pause = (FIRST_OPEN_TIME * 2_u32.pow(doublings)).min(MAX_OPEN_TIME);
        *self = CircuitBreaker {
            trips: self.trips.saturating_add(1),
            epoch: self.epoch + 1,
            open_until: Some(now + pause),
            ..CircuitBreaker::default()
        };
    }
}

/// Requests per second at a step. The rate is one at first, and grows by one each second if every request succeeds at
/// once.
fn rate(ramp_step: i32) -> f64 {
    (1.0 + 2.0 * f64::from(ramp_step)).sqrt()
}

fn until(then: UtcTime, now: UtcTime) -> Option<Duration> {
    Some(then.since(now)).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> UtcTime {
        UtcTime::default()
    }

    /// A breaker that was opened at [`start`] by consecutive failures.
    fn open() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..FAILURE_THRESHOLD {
            assert_eq!(breaker.try_pass(start()), Ok(()));
            breaker.record(start(), breaker.epoch, false, true);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn consecutive_failures_open_the_breaker() {
        let mut breaker = CircuitBreaker::default();
        for number in 0..10 * FAILURE_THRESHOLD {
            breaker.record(start(), 0, number % FAILURE_THRESHOLD == 0, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.record(start(), 0, false, true);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn an_open_breaker_admits_one_probe_at_a_time() {
        let mut breaker = open();
        assert_eq!(breaker.try_pass(start()), Err(FIRST_OPEN_TIME));
        let now = start() + FIRST_OPEN_TIME;
        assert_eq!(breaker.try_pass(now), Ok(()));
        assert_eq!(breaker.try_pass(now), Err(RETRY_SOON), "a probe is running");
        assert_eq!(
            breaker.try_pass(now + MAX_REQUEST_TIME),
            Ok(()),
            "the worker of the first probe died"
        );
    }

    #[test]
    fn the_open_time_doubles_up_to_one_minute() {
        let (mut breaker, mut now) = (open(), start());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = breaker.try_pass(now).expect_err("open");
            pauses.push(pause.as_secs());
            now = now + pause;
            assert_eq!(breaker.try_pass(now), Ok(()));
            breaker.record(now, breaker.epoch, false, true);
        }
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_half_open_breaker_admits_requests_faster_and_faster_and_then_closes() {
        let mut breaker = open();
        let mut now = start() + FIRST_OPEN_TIME;
        breaker.try_pass(now).expect("a probe");
        breaker.record(now, breaker.epoch, true, true);
        let mut waited = Vec::new();
        for _ in 0..50 {
            let rest = breaker.try_pass(now).expect_err("not at once");
            now = now + rest;
            breaker.try_pass(now).expect("its turn");
            breaker.record(now, breaker.epoch, true, true);
            waited.push(rest);
        }
        assert_eq!(waited[0], SECOND);
        assert!(waited.windows(2).all(|pair| pair[1] <= pair[0]), "{waited:?}");
        assert!(waited[49] < SECOND / 5, "{waited:?}");
        let all: Duration = waited.iter().sum();
        let expected =
            CircuitBreaker { ramp_step: Some(0), ..CircuitBreaker::default() }.turn_delay(50);
        assert!(all >= expected && all - expected < 2 * SECOND, "{all:?} and {expected:?}");

        breaker.record(now, breaker.epoch, true, false);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.is_healthy());
    }

    /// Requests per second one minute after the breaker became half-open. Every request is sent when it is admitted.
    /// Request number `n` succeeds if `succeeds(n)` is true.
    fn rate_after_a_minute(succeeds: fn(u32) -> bool) -> u32 {
        let mut breaker = CircuitBreaker { ramp_step: Some(0), ..CircuitBreaker::default() };
        let (mut now, mut number, mut in_the_last_second) = (start(), 0, 0);
        while now < start() + 60 * SECOND {
            match breaker.try_pass(now) {
                Ok(()) => {
                    number += 1;
                    in_the_last_second += u32::from(now >= start() + 59 * SECOND);
                    breaker.record(now, breaker.epoch, succeeds(number), true);
                }
                Err(rest) => now = now + rest,
            }
        }
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        in_the_last_second
    }

    #[test]
    fn the_rate_while_half_open_follows_the_share_of_failures() {
        let all = rate_after_a_minute(|_| true);
        let fourth_fails = rate_after_a_minute(|number| number % 4 != 0);
        let half_fails = rate_after_a_minute(|number| number % 2 != 0);
        assert!(all > 50, "{all}");
        assert!(fourth_fails > 10, "waiting requests are not starved: {fourth_fails}");
        assert!(half_fails <= 2, "an overloaded server can recover: {half_fails}");
    }

    #[test]
    fn consecutive_failures_open_a_half_open_breaker() {
        let mut breaker = CircuitBreaker { ramp_step: Some(40), ..CircuitBreaker::default() };
        for _ in 1..FAILURE_THRESHOLD {
            breaker.record(start(), 0, false, true);
        }
        assert_eq!((breaker.state(), breaker.ramp_step), (BreakerState::HalfOpen, Some(32)));
        breaker.record(start(), 0, false, true);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn a_recovery_resets_the_open_time() {
        let mut breaker =
            CircuitBreaker { ramp_step: Some(0), trips: 4, ..CircuitBreaker::default() };
        for step in 1..=RECOVERED_STEPS {
            assert_eq!(breaker.trips, 4, "{step}");
            breaker.record(start(), 0, true, true);
        }
        for _ in 0..FAILURE_THRESHOLD {
            breaker.record(start(), 0, false, true);
        }
        assert_eq!(breaker.try_pass(start()), Err(FIRST_OPEN_TIME));
    }

    #[test]
    fn outcomes_of_requests_from_before_the_breaker_opened_are_ignored() {
        let mut breaker = open();
        let before = breaker.clone();
        breaker.record(start(), breaker.epoch - 1, true, false);
        breaker.record(start(), breaker.epoch - 1, false, false);
        assert_eq!(breaker, before);
    }
}

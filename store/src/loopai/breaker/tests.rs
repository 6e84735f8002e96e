use super::*;
use RequestHealth::{Accepted, Overloaded, Rejected, ServerError, Unreachable};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> UtcTime {
    UtcTime::default() + Duration::from_secs(3600)
}

impl CircuitBreaker {
    /// Records the outcome of a regular request from a run that has not failed before.
    fn record_new(&mut self, now: UtcTime, health: RequestHealth) {
        self.record_of(now, health, None);
    }

    fn record_of(&mut self, now: UtcTime, health: RequestHealth, last_failure: Option<UtcTime>) {
        let (epoch, kind) = (self.epoch, RequestKind::Regular);
        self.record(now, Outcome { epoch, kind, health, last_failure }, true);
    }

    fn record_probe(&mut self, now: UtcTime, health: RequestHealth, others_wait: bool) {
        let (epoch, kind) = (self.epoch, RequestKind::Probe);
        self.record(now, Outcome { epoch, kind, health, last_failure: None }, others_wait);
    }
}

/// Opens the breaker with failures from different runs.
fn open_by(health: RequestHealth) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::default();
    for _ in 0..FAILURE_THRESHOLD {
        assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
        breaker.record_new(start(), health);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

fn half_open(ramp_step: i32) -> CircuitBreaker {
    CircuitBreaker { ramp_step: Some(ramp_step), ..CircuitBreaker::default() }
}

#[test]
fn failures_from_different_runs_without_a_success_open_the_breaker() {
    let mut breaker = CircuitBreaker::default();
    let mut now = start();
    for number in 0..10 * FAILURE_THRESHOLD {
        let health = if number % FAILURE_THRESHOLD == 0 { Accepted } else { Unreachable };
        now = now + SECOND;
        breaker.record_new(now, health);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.record_new(now, Unreachable);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn failures_from_the_same_run_count_once() {
    for health in [ServerError, Unreachable] {
        let mut breaker = CircuitBreaker::default();
        let mut last_failure = None;
        let mut now = start();
        for _ in 0..100 {
            breaker.record_of(now, health, last_failure);
            last_failure = Some(now);
            now = now + SECOND;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}

#[test]
fn the_breaker_stays_closed_while_some_requests_succeed() {
    let mut breaker = CircuitBreaker::default();
    breaker.record_new(start(), Accepted);
    for _ in 0..100 {
        breaker.record_new(start() + SECOND, Unreachable);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    breaker.record_new(start() + MIN_TIME_WITHOUT_SUCCESS, Unreachable);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn first_requests_are_admitted_if_loopai_only_responds_with_500() {
    let mut breaker = open_by(ServerError);
    assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
    assert_eq!(breaker.try_pass(start(), false), Err(FIRST_OPEN_TIME));
    assert_eq!(breaker.unavailable_for(start()), None, "polls need not wait");
    for _ in 0..10 {
        breaker.record_new(start(), ServerError);
    }
    assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));

    breaker.record_new(start(), Accepted);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
    assert_eq!(breaker.try_pass(start(), false), Err(SECOND));
}

#[test]
fn first_requests_are_not_admitted_once_they_find_loopai_unavailable() {
    let mut breaker = open_by(ServerError);
    for _ in 0..FAILURE_THRESHOLD {
        assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
        breaker.record_new(start(), Unreachable);
    }
    assert!(breaker.try_pass(start(), true).is_err());
    assert!(breaker.unavailable_for(start()).is_some());

    let now = start() + MAX_OPEN_TIME;
    assert_eq!(breaker.try_pass(now, false), Ok(RequestKind::Probe));
    breaker.record_probe(now, ServerError, true);
    assert_eq!(breaker.try_pass(now, true), Ok(RequestKind::Regular), "LoopAI is reachable again");
}

#[test]
fn an_open_breaker_admits_one_probe_at_a_time() {
    let mut breaker = open_by(Unreachable);
    assert_eq!(breaker.try_pass(start(), false), Err(FIRST_OPEN_TIME));
    let now = start() + FIRST_OPEN_TIME;
    assert_eq!(breaker.try_pass(now, false), Ok(RequestKind::Probe));
    assert_eq!(breaker.try_pass(now, false), Err(RETRY_SOON), "a probe is in progress");
    assert_eq!(breaker.try_pass(now, true), Err(RETRY_SOON), "a probe is in progress");
    assert_eq!(
        breaker.try_pass(now + MAX_REQUEST_TIME, false),
        Ok(RequestKind::Probe),
        "the first probe's worker has died"
    );
}

#[test]
fn the_open_time_doubles_up_to_one_minute_but_not_for_first_requests() {
    let (mut breaker, mut now) = (open_by(Unreachable), start());
    let (mut pauses, mut first_pauses) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let pause = breaker.try_pass(now, false).expect_err("open");
        pauses.push(pause.as_secs());
        first_pauses.push(breaker.try_pass(now, true).expect_err("open").as_secs());
        now = now + pause;
        assert_eq!(breaker.try_pass(now, false), Ok(RequestKind::Probe));
        breaker.record_probe(now, Unreachable, true);
    }
    assert_eq!(pauses, [4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(first_pauses, [4, 5, 5, 5, 5, 5, 5]);
}

#[test]
fn a_half_open_breaker_admits_requests_at_an_increasing_rate_and_then_closes() {
    let mut breaker = open_by(Unreachable);
    let mut now = start() + FIRST_OPEN_TIME;
    breaker.try_pass(now, false).expect("a probe");
    breaker.record_probe(now, Accepted, true);
    let mut waited = Vec::new();
    for _ in 0..50 {
        let rest = breaker.try_pass(now, true).expect_err("a delay");
        now = now + rest;
        breaker.try_pass(now, true).expect("the request is admitted");
        breaker.record_new(now, Accepted);
        waited.push(rest);
    }
    assert_eq!(waited[0], SECOND);
    assert!(waited.windows(2).all(|pair| pair[1] <= pair[0]), "{waited:?}");
    assert!(waited[49] < SECOND / 5, "{waited:?}");
    let all: Duration = waited.iter().sum();
    let expected = half_open(0).turn_delay(50);
    assert!(all >= expected && all - expected < 2 * SECOND, "{all:?} and {expected:?}");

    breaker.record_probe(now, Accepted, false);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(breaker.is_healthy());
}

/// Returns the request rate, in requests per second, one minute after the breaker became half-open. Every request is
/// sent as soon as it is admitted. The `n`th request succeeds if `succeeds(n)` is true.
fn rate_after_a_minute(succeeds: fn(u32) -> bool) -> u32 {
    let mut breaker = half_open(0);
    let (mut now, mut number, mut in_the_last_second) = (start(), 0, 0);
    while now < start() + 60 * SECOND {
        match breaker.try_pass(now, true) {
            Ok(_) => {
                number += 1;
                in_the_last_second += u32::from(now >= start() + 59 * SECOND);
                breaker.record_new(now, if succeeds(number) { Accepted } else { Unreachable });
            }
            Err(rest) => now = now + rest,
        }
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    in_the_last_second
}

#[test]
fn the_request_rate_of_a_half_open_breaker_depends_on_the_failure_rate() {
    let all = rate_after_a_minute(|_| true);
    let fourth_fails = rate_after_a_minute(|number| number % 4 != 0);
    let half_fails = rate_after_a_minute(|number| number % 2 != 0);
    assert!(all > 50, "{all}");
    assert!(fourth_fails > 10, "waiting requests are not starved: {fourth_fails}");
    assert!(half_fails <= 2, "an overloaded server can recover: {half_fails}");
}

#[test]
fn failures_possibly_caused_by_a_submission_do_not_lower_the_request_rate() {
    let mut breaker = half_open(40);
    breaker.record_new(start(), ServerError);
    breaker.record_of(start() + SECOND, Unreachable, Some(start()));
    assert_eq!(breaker.ramp_step, Some(40));
}

#[test]
fn failures_from_different_runs_open_a_half_open_breaker() {
    let mut breaker = half_open(40);
    for _ in 1..FAILURE_THRESHOLD {
        breaker.record_new(start(), Unreachable);
    }
    assert_eq!((breaker.state(), breaker.ramp_step), (BreakerState::HalfOpen, Some(32)));
    breaker.record_new(start(), Unreachable);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_probe_that_fails_late_does_not_open_the_breaker_again() {
    let mut breaker = open_by(ServerError);
    let now = start() + FIRST_OPEN_TIME;
    assert_eq!(breaker.try_pass(now, false), Ok(RequestKind::Probe));
    breaker.record_new(now, Accepted);
    breaker.record_probe(now, ServerError, true);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn a_recovery_resets_the_open_time() {
    let mut breaker = CircuitBreaker { trips: 4, ..half_open(0) };
    for step in 1..=RECOVERED_STEPS {
        assert_eq!(breaker.trips, 4, "{step}");
        breaker.record_new(start(), Accepted);
    }
    let now = start() + MIN_TIME_WITHOUT_SUCCESS;
    for _ in 0..FAILURE_THRESHOLD {
        breaker.record_new(now, Unreachable);
    }
    assert_eq!(breaker.try_pass(now, false), Err(FIRST_OPEN_TIME));
}

#[test]
fn outcomes_of_requests_sent_before_the_breaker_opened_do_not_change_its_state() {
    let mut breaker = open_by(Unreachable);
    let before = breaker.clone();
    let (epoch, kind) = (breaker.epoch - 1, RequestKind::Regular);
    let late = |health| Outcome { epoch, kind, health, last_failure: None };
    breaker.record(start(), late(Unreachable), false);
    assert_eq!(breaker, before);
    breaker.record(start(), late(Accepted), false);
    assert_eq!(breaker, CircuitBreaker { succeeded_at: Some(start()), ..before });
}

#[test]
fn a_rejected_request_does_not_count_as_a_success() {
    let mut breaker = CircuitBreaker::default();
    breaker.record_new(start(), Unreachable);
    breaker.record_new(start() + SECOND, Rejected);
    assert_eq!(breaker.failures, 0, "LoopAI is available");
    assert!(!breaker.succeeded_after(start()));
    breaker.record_new(start() + SECOND, Accepted);
    assert!(breaker.succeeded_after(start()));
}

#[test]
fn an_overload_lowers_the_request_rate_even_while_other_requests_succeed() {
    const LIMIT: u32 = 2;
    let (mut breaker, mut now) = (CircuitBreaker::default(), start());
    let (mut sent, mut accepted, mut in_this_second) = (0, 0, (start(), 0));
    while now < start() + 60 * SECOND {
        if let Err(rest) = breaker.try_pass(now, true) {
            now = now + rest;
            continue;
        }
        if now.since(in_this_second.0) >= SECOND {
            in_this_second = (now, 0);
        }
        in_this_second.1 += 1;
        sent += 1;
        let is_accepted = in_this_second.1 <= LIMIT;
        accepted += u32::from(is_accepted);
        breaker.record_new(now, if is_accepted { Accepted } else { Overloaded });
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(accepted > 60 && sent < 2 * accepted, "{accepted} of {sent} requests were accepted");
}

#[test]
fn an_overload_also_delays_first_requests() {
    let mut breaker = CircuitBreaker { admits_first_requests: 1, ..half_open(0) };
    assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
    breaker.record_new(start(), Overloaded);
    assert_eq!(breaker.try_pass(start(), true), Ok(RequestKind::Regular));
    assert_eq!(breaker.try_pass(start(), true), Err(SECOND));
}

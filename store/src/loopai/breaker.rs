//! The gate before LoopAI, as a circuit breaker: it shuts when LoopAI fails again and again, lets one request
//! through at a time to try, and after one that went well lets the others follow, ever faster. Only the rules
//! are here; `loopai` keeps the gate in one locked row, so that it is the same for all workers.

use crate::db::schema::loopai_gate;
use chrono::NaiveDateTime;
use diesel::prelude::*;
use std::time::Duration;

/// Failures in a row that shut the gate.
const FAILURES: i32 = 5;
/// How long it stays shut the first time; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// How long it stays shut at most: so long LoopAI may be back before anybody notices.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After what time nothing more is to be heard of a request that was let through: an attempt at the
/// activity lasts 45 s, and whoever made it may have died.
const LONGEST_REQUEST: Duration = Duration::from_secs(45);
/// Steps that a failure takes back while the gate is ajar, where one that went well gains one: so those who
/// wait follow ever faster as long as fewer than one request in three fails, and ever more slowly beyond that. An
/// overloaded LoopAI is asked half as often again as it can bear, in the long run.
const STEPS_BACK: i32 = 2;
/// Steps after which LoopAI is taken for well: were it to fail again now, that would be another trouble.
const WELL: i32 = 20;
/// When to come again while another one tries.
const SOON: Duration = Duration::from_secs(2);

/// How the gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// Whoever comes may ask.
    Open,
    /// LoopAI is back: those who wait follow one another, slowly at first.
    Ajar,
    /// LoopAI is away: nobody asks, but one at a time to try.
    Shut,
}

/// The gate. All times are the database's.
#[derive(Debug, Clone, Default, PartialEq, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = loopai_gate, treat_none_as_null = true)]
pub(crate) struct Gate {
    /// Failures since something went well.
    failures: i32,
    /// How often it was shut since it was last open.
    shuttings: i32,
    /// Counts how often it was shut at all: what is heard of a request that was let through before that
    /// tells nothing about now.
    epoch: i64,
    /// Set while it is shut; one may try afterwards.
    shut_until: Option<NaiveDateTime>,
    /// One tries, and will be heard of by then.
    probe_until: Option<NaiveDateTime>,
    /// Set while it is ajar: the steps of those who wait, each a little faster than the one before.
    ramp: Option<i32>,
    /// When the next one may follow.
    next_at: Option<NaiveDateTime>,
}

impl Gate {
    pub(crate) fn state(&self) -> GateState {
        match (self.shut_until, self.ramp) {
            (Some(_), _) => GateState::Shut,
            (None, Some(_)) => GateState::Ajar,
            (None, None) => GateState::Open,
        }
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether it stands open, and nothing was heard that says otherwise.
    pub(crate) fn is_untroubled(&self) -> bool {
        self.failures == 0 && self.state() == GateState::Open
    }

    /// Lets one request through, or tells after what time it may be tried again.
    pub(crate) fn pass(&mut self, now: NaiveDateTime) -> Result<(), Duration> {
        if let Some(rest) = self.shut_for(now) {
            return Err(rest);
        }
        if self.shut_until.is_some() {
            self.probe_until = Some(now + LONGEST_REQUEST);
        } else if let Some(ramp) = self.ramp {
            if let Some(rest) = self.next_at.and_then(|next_at| until(next_at, now)) {
                return Err(rest);
            }
            self.next_at = Some(now + Duration::from_secs_f64(1.0 / rate(ramp)));
        }
        Ok(())
    }

    /// After what time it may be tried again whether LoopAI is back; none when it may be asked now.
    pub(crate) fn shut_for(&self, now: NaiveDateTime) -> Option<Duration> {
        let shut_until = self.shut_until?;
        let is_tried = self.probe_until.is_some_and(|probe_until| probe_until > now);
        until(shut_until, now).or(is_tried.then_some(SOON))
    }

    /// How much later than the first one somebody can be let through who comes after `ahead` others, if all
    /// goes well.
    pub(crate) fn turn_after(&self, ahead: i64) -> Duration {
        let ramp = self.ramp.unwrap_or_default();
        // The sum of the gaps between them, up to a rounding.
        let last = i32::try_from(ahead).unwrap_or(i32::MAX).saturating_add(ramp);
        Duration::from_secs_f64(rate(last) - rate(ramp))
    }

    /// Notes what came of a request that was let through in `epoch`. `others_wait` says whether anybody
    /// else was told to come again.
    pub(crate) fn heard(
        &mut self,
        now: NaiveDateTime,
        epoch: i64,
        is_well: bool,
        others_wait: bool,
    ) {
        if epoch != self.epoch {
            return;
        }
        let was_tried = self.shut_until.take().is_some();
        self.probe_until = None;
        if !is_well {
            self.failures += 1;
            self.ramp = self.ramp.map(|ramp| (ramp - STEPS_BACK).max(0));
            if was_tried || self.failures >= FAILURES {
                self.shut(now);
            }
            return;
        }
        self.failures = 0;
        if was_tried {
            self.ramp = Some(0);
            self.next_at = Some(now + Duration::from_secs_f64(1.0 / rate(0)));
        } else {
            self.ramp = self.ramp.map(|ramp| ramp.saturating_add(1));
        }
        if self.ramp.is_some_and(|ramp| ramp >= WELL) {
            self.shuttings = 0;
        }
        if !others_wait {
            (self.ramp, self.next_at, self.shuttings) = (None, None, 0);
        }
    }

    /// Notes that nothing will be heard of a request that was let through in `epoch`.
    pub(crate) fn not_asked(&mut self, epoch: i64) {
        if epoch == self.epoch {
            self.probe_until = None;
        }
    }

    fn shut(&mut self, now: NaiveDateTime) {
        let doublings = u32::try_from(self.shuttings).unwrap_or_default().min(10);
        let pause = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
        *self = Gate {
            shuttings: self.shuttings.saturating_add(1),
            epoch: self.epoch + 1,
            shut_until: Some(now + pause),
            ..Gate::default()
        };
    }
}

/// Requests a second, after `ramp` steps: one at first, and each second one more, if each request goes well at
/// once.
fn rate(ramp: i32) -> f64 {
    (1.0 + 2.0 * f64::from(ramp)).sqrt()
}

/// How long it is until `then`; none when that is over.
fn until(then: NaiveDateTime, now: NaiveDateTime) -> Option<Duration> {
    (then - now).to_std().ok().filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> NaiveDateTime {
        chrono::DateTime::UNIX_EPOCH.naive_utc()
    }

    /// One that was shut by failures in a row, at [`start`].
    fn shut() -> Gate {
        let mut gate = Gate::default();
        for _ in 0..FAILURES {
            assert_eq!(gate.pass(start()), Ok(()));
            gate.heard(start(), gate.epoch, false, true);
        }
        assert_eq!(gate.state(), GateState::Shut);
        gate
    }

    #[test]
    fn only_failures_in_a_row_shut_it() {
        let mut gate = Gate::default();
        for number in 0..10 * FAILURES {
            gate.heard(start(), 0, number % FAILURES == 0, true);
        }
        assert_eq!(gate.state(), GateState::Open);
        gate.heard(start(), 0, false, true);
        assert_eq!(gate.state(), GateState::Shut);
    }

    #[test]
    fn one_at_a_time_tries_when_it_was_shut_long_enough() {
        let mut gate = shut();
        assert_eq!(gate.pass(start()), Err(FIRST_PAUSE));
        let now = start() + FIRST_PAUSE;
        assert_eq!(gate.pass(now), Ok(()));
        assert_eq!(gate.pass(now), Err(SOON), "another one tries");
        assert_eq!(gate.pass(now + LONGEST_REQUEST), Ok(()), "the other one has died");
    }

    #[test]
    fn it_is_shut_for_longer_each_time_but_for_a_minute_at_most() {
        let (mut gate, mut now) = (shut(), start());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = gate.pass(now).expect_err("shut");
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(gate.pass(now), Ok(()));
            gate.heard(now, gate.epoch, false, true);
        }
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn those_who_wait_follow_ever_faster_and_then_it_is_open() {
        let mut gate = shut();
        let mut now = start() + FIRST_PAUSE;
        gate.pass(now).expect("tries");
        gate.heard(now, gate.epoch, true, true);
        let mut waited = Vec::new();
        for _ in 0..50 {
            let rest = gate.pass(now).expect_err("not at once");
            now += rest;
            gate.pass(now).expect("its turn");
            gate.heard(now, gate.epoch, true, true);
            waited.push(rest);
        }
        assert_eq!(waited[0], SECOND);
        assert!(waited.windows(2).all(|pair| pair[1] <= pair[0]), "{waited:?}");
        assert!(waited[49] < SECOND / 5, "{waited:?}");
        let all: Duration = waited.iter().sum();
        let told = Gate { ramp: Some(0), ..Gate::default() }.turn_after(50);
        assert!(all >= told && all - told < 2 * SECOND, "{all:?} and {told:?}");

        gate.heard(now, gate.epoch, true, false);
        assert_eq!(gate.state(), GateState::Open);
        assert!(gate.is_untroubled());
    }

    /// How many requests a second are let through a minute after it went ajar, where every request comes at its
    /// turn and each for which `is_well` says so, by its number, goes well.
    fn rate_after_a_minute(is_well: fn(u32) -> bool) -> u32 {
        let mut gate = Gate { ramp: Some(0), ..Gate::default() };
        let (mut now, mut number, mut in_the_last_second) = (start(), 0, 0);
        while now < start() + 60 * SECOND {
            match gate.pass(now) {
                Ok(()) => {
                    number += 1;
                    in_the_last_second += u32::from(now >= start() + 59 * SECOND);
                    gate.heard(now, gate.epoch, is_well(number), true);
                }
                Err(rest) => now += rest,
            }
        }
        assert_eq!(gate.state(), GateState::Ajar);
        in_the_last_second
    }

    #[test]
    fn the_pace_while_it_is_ajar_follows_the_share_of_failures() {
        let all = rate_after_a_minute(|_| true);
        let fourth_fails = rate_after_a_minute(|number| number % 4 != 0);
        let half_fails = rate_after_a_minute(|number| number % 2 != 0);
        assert!(all > 50, "{all}");
        assert!(fourth_fails > 10, "those who wait are not starved: {fourth_fails}");
        assert!(half_fails <= 2, "it is asked no more than it can bear: {half_fails}");
    }

    #[test]
    fn failures_in_a_row_shut_it_while_it_is_ajar_as_well() {
        let mut gate = Gate { ramp: Some(40), ..Gate::default() };
        for _ in 1..FAILURES {
            gate.heard(start(), 0, false, true);
        }
        assert_eq!((gate.state(), gate.ramp), (GateState::Ajar, Some(32)));
        gate.heard(start(), 0, false, true);
        assert_eq!(gate.state(), GateState::Shut);
    }

    #[test]
    fn after_a_while_that_went_well_it_is_shut_as_briefly_as_the_first_time() {
        let mut gate = Gate { ramp: Some(0), shuttings: 4, ..Gate::default() };
        for step in 1..=WELL {
            assert_eq!(gate.shuttings, 4, "{step}");
            gate.heard(start(), 0, true, true);
        }
        for _ in 0..FAILURES {
            gate.heard(start(), 0, false, true);
        }
        assert_eq!(gate.pass(start()), Err(FIRST_PAUSE));
    }

    #[test]
    fn what_was_let_through_before_it_was_shut_says_nothing_about_now() {
        let mut gate = shut();
        let before = gate.clone();
        gate.heard(start(), gate.epoch - 1, true, false);
        gate.heard(start(), gate.epoch - 1, false, false);
        assert_eq!(gate, before);
    }
}

//! How many requests to LoopAI are under way at once in this process, and how much memory their images
//! take: a bound for each, because one request may carry a hundred megabytes and may last half a minute.
//!
//! Nobody waits here, since whoever waits holds one of the worker's places: a request is let in or
//! turned away at once, and comes again as any attempt that failed. Who was turned away stands in a
//! queue meanwhile. Others may go before the first in it, but only if they leave room for it: so the
//! room that a large request needs comes together, however many small ones come.

use diagflow_store::RunKey;
use diagflow_workflows::policy::LONGEST_REQUEST_PAUSE;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An image's bytes are held as they were read, in base64, and in the body that is sent: 1 + 4/3 + 4/3.
const COPIES: u64 = 4;
/// When those who are next shall come again. Short, because room is kept for the first of them.
const SOON: Duration = Duration::from_secs(2);
/// How much later than it was told a request may come before it has lost its turn: another worker may have
/// taken it, or its submission was called off.
const GRACE: Duration = Duration::from_secs(15);
/// Those who find more in the queue are turned away without a place in it.
const LONGEST_QUEUE: usize = 1000;

/// Lets requests in.
#[derive(Debug)]
pub struct Admission {
    places: usize,
    /// Bytes.
    memory: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests that are under way, and the bytes that they take.
    busy: usize,
    taken: u64,
    queue: VecDeque<Waiting>,
}

/// A request that was turned away.
#[derive(Debug)]
struct Waiting {
    run: RunKey,
    memory: u64,
    /// Whether it was told that it is among the next: for others no room is kept, since they come late.
    comes_soon: bool,
    /// When it has lost its turn.
    until: Instant,
}

/// A request that was let in; makes room when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    admission: &'a Admission,
    memory: u64,
}

/// There is no room for a request now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    /// When to come again; none for those who are not among the next.
    pub(crate) after: Option<Duration>,
}

impl Admission {
    /// For a worker that works on `concurrency` activities at once, with `memory` bytes for images.
    pub fn new(concurrency: usize, memory: u64) -> Admission {
        // The other half is left for what is short: looks and e-mails.
        Admission { places: (concurrency / 2).max(1), memory, state: Mutex::default() }
    }

    /// The memory that a request with so many bytes of images takes.
    pub fn memory_for(image_bytes: u64) -> u64 {
        image_bytes.saturating_mul(COPIES)
    }

    /// Lets a run's request in, or turns it away. One that is larger than all of the memory gets all of
    /// it, since it could never be sent otherwise.
    pub(crate) fn enter(&self, run: RunKey, image_bytes: u64) -> Result<Admitted<'_>, TurnedAway> {
        self.enter_at(Instant::now(), run, image_bytes)
    }

    fn enter_at(
        &self,
        now: Instant,
        run: RunKey,
        image_bytes: u64,
    ) -> Result<Admitted<'_>, TurnedAway> {
        let memory = Self::memory_for(image_bytes).min(self.memory);
        let mut state = self.state();
        state.queue.retain(|waiting| waiting.run == run || waiting.until > now);
        let (place_kept, memory_kept) = match state.queue.front() {
            Some(first) if first.run != run && first.comes_soon => (1, first.memory),
            _ => (0, 0),
        };
        let is_room = state.busy + place_kept < self.places
            && state.taken.saturating_add(memory).saturating_add(memory_kept) <= self.memory;
        if !is_room {
            return Err(state.turn_away(now, run, memory, self.places));
        }
        state.queue.retain(|waiting| waiting.run != run);
        state.busy += 1;
        state.taken += memory;
        Ok(Admitted { admission: self, memory })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives a request its place in the queue, or leaves it the one that it has. The first `next` are
    /// told to come soon.
    fn turn_away(&mut self, now: Instant, run: RunKey, memory: u64, next: usize) -> TurnedAway {
        let place = self.queue.iter().position(|waiting| waiting.run == run);
        let place = place.unwrap_or(self.queue.len());
        let after = (place < next).then_some(SOON);
        let until = now + after.unwrap_or(LONGEST_REQUEST_PAUSE) + GRACE;
        let comes_soon = after.is_some();
        if let Some(waiting) = self.queue.get_mut(place) {
            (waiting.until, waiting.comes_soon) = (until, comes_soon);
        } else if place < LONGEST_QUEUE {
            self.queue.push_back(Waiting { run, memory, comes_soon, until });
        }
        TurnedAway { after }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.busy -= 1;
        state.taken -= self.memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::SubmissionId;

    const MIB: u64 = 1024 * 1024;
    const SECOND: Duration = Duration::from_secs(1);

    fn run() -> RunKey {
        RunKey { submission: SubmissionId::new(), number: 1 }
    }

    #[test]
    fn half_of_the_places_are_left_for_looks_and_mail() {
        let admission = Admission::new(4, 512 * MIB);
        let first = admission.enter(run(), 1).expect("room");
        let _second = admission.enter(run(), 1).expect("room");
        let third = run();
        assert!(admission.enter(third, 1).is_err(), "and it does not wait");
        drop(first);
        assert!(admission.enter(run(), 1).is_err(), "the place is kept for the third");
        assert!(admission.enter(third, 1).is_ok());
    }

    #[test]
    fn images_share_the_memory_with_all_their_copies() {
        let admission = Admission::new(100, 8 * MIB);
        let first = admission.enter(run(), MIB).expect("room");
        let _second = admission.enter(run(), MIB).expect("just room");
        let third = run();
        assert!(admission.enter(third, 1).is_err());
        assert!(admission.enter(run(), 0).is_err(), "before the third, only what leaves it room");
        drop(first);
        assert!(admission.enter(run(), 0).is_ok(), "links take none");
        assert!(admission.enter(third, MIB).is_ok());
    }

    #[test]
    fn what_is_too_large_for_all_of_it_gets_in_alone() {
        let admission = Admission::new(100, 8 * MIB);
        let large = admission.enter(run(), 1000 * MIB).expect("room");
        let small = run();
        assert!(admission.enter(small, 1).is_err());
        drop(large);
        assert!(admission.enter(small, 1).is_ok());
    }

    /// A request that comes until it is let in.
    struct Visitor {
        run: RunKey,
        image_bytes: u64,
        comes: Instant,
        pause: Duration,
    }

    impl Visitor {
        fn new(comes: Instant, image_bytes: u64) -> Visitor {
            Visitor { run: run(), image_bytes, comes, pause: SECOND }
        }

        /// Comes when it is time; turned away, it comes again as it is told, or else ever later.
        fn visit<'a>(&mut self, admission: &'a Admission, now: Instant) -> Option<Admitted<'a>> {
            if self.comes > now {
                return None;
            }
            match admission.enter_at(now, self.run, self.image_bytes) {
                Ok(admitted) => Some(admitted),
                Err(told) => {
                    self.pause = (2 * self.pause).min(LONGEST_REQUEST_PAUSE);
                    self.comes = now + told.after.unwrap_or(self.pause);
                    None
                }
            }
        }
    }

    #[test]
    fn a_large_request_is_let_in_however_many_small_ones_come() {
        // A small one every quarter of a second, each under way for ten seconds: more than there is room
        // for, so that others always wait to take what gets free.
        const LASTS: Duration = Duration::from_secs(10);
        let admission = Admission::new(200, 512 * MIB);
        let began = Instant::now();
        let arrives = began + 30 * SECOND;
        let mut large = Visitor::new(arrives, 90 * MIB);
        let (mut small, mut under_way) = (Vec::new(), VecDeque::new());
        for quarter in 0..4 * 120 {
            let now = began + quarter * SECOND / 4;
            while under_way.front().is_some_and(|(ends, _)| *ends <= now) {
                under_way.pop_front();
            }
            if large.visit(&admission, now).is_some() {
                let waited = now - arrives;
                assert!(waited > SECOND && waited < 3 * LASTS, "{waited:?}");
                return;
            }
            small.push(Visitor::new(now, 4 * MIB));
            small.retain_mut(|visitor| match visitor.visit(&admission, now) {
                Some(admitted) => {
                    under_way.push_back((now + LASTS, admitted));
                    false
                }
                None => true,
            });
        }
        panic!("it was never let in");
    }

    #[test]
    fn a_turn_is_lost_when_nobody_comes_to_take_it() {
        let admission = Admission::new(2, 512 * MIB);
        let now = Instant::now();
        let first = admission.enter_at(now, run(), 1).expect("room");
        let told = admission.enter_at(now, run(), 1).expect_err("no room");
        assert_eq!(told, TurnedAway { after: Some(SOON) });
        drop(first);
        let other = run();
        assert!(admission.enter_at(now + SOON, other, 1).is_err(), "it may still come");
        assert!(admission.enter_at(now + SOON + GRACE, other, 1).is_ok());
    }

    #[test]
    fn no_room_is_kept_for_one_who_was_not_told_to_come_soon() {
        let admission = Admission::new(2, 512 * MIB);
        let now = Instant::now();
        let under_way = admission.enter_at(now, run(), 1).expect("room");
        let (next, later) = (run(), run());
        assert!(admission.enter_at(now, next, 1).is_err());
        let told = admission.enter_at(now, later, 1).expect_err("no room");
        assert_eq!(told, TurnedAway { after: None });
        drop(under_way);
        drop(admission.enter_at(now + SOON, next, 1).expect("its turn"));

        assert!(
            admission.enter_at(now + SOON, run(), 1).is_ok(),
            "the first in the queue is far away"
        );
    }

    #[test]
    fn only_those_who_are_next_are_told_to_come_soon() {
        let admission = Admission::new(4, 512 * MIB);
        let _under_way = [admission.enter(run(), 1), admission.enter(run(), 1)];
        let told: Vec<_> =
            (0..3).map(|_| admission.enter(run(), 1).expect_err("no room").after).collect();
        assert_eq!(told, [Some(SOON), Some(SOON), None]);
    }
}

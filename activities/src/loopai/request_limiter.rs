//! How many requests to LoopAI are under way at once in this process, and how much memory their images
//! take: a bound for each, because one request may carry a hundred megabytes and may last half a minute.
//!
//! Nobody waits here, since whoever waits holds one of the worker's places: a request is let in or
//! turned away at once, and comes again as any attempt that failed. Who was turned away stands in a
//! queue meanwhile. Others may go before the first in it, but only if they leave room for it: so the
//! room that a large request needs comes together, however many small ones come.

use diagflow_store::RunKey;
use diagflow_workflows::policy::MAX_REQUEST_BACKOFF;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An image's bytes are held as they were read, in base64, and in the body that is sent: 1 + 4/3 + 4/3.
const COPIES_IN_MEMORY: u64 = 4;
/// When those who are next shall come again. Short, because room is kept for the first of them.
const SHORT_DELAY: Duration = Duration::from_secs(2);
/// How much later than it was told a request may come before it has lost its turn: another worker may have
/// taken it, or its submission was called off.
const RETRY_GRACE: Duration = Duration::from_secs(15);
/// Those who find more in the queue are turned away without a place in it.
const MAX_QUEUE_LEN: usize = 1000;

/// Lets requests in.
#[derive(Debug)]
pub struct RequestLimiter {
    max_requests: usize,
    /// Bytes.
    memory: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests that are under way, and the bytes that they take.
    active: usize,
    memory_in_use: u64,
    queue: VecDeque<QueuedRequest>,
}

/// A request that was turned away.
#[derive(Debug)]
struct QueuedRequest {
    run: RunKey,
    memory: u64,
    /// Whether it was told that it is among the next: for others no room is kept, since they come late.
    retries_soon: bool,
    /// When it has lost its turn.
    expires_at: Instant,
}

/// A request that was let in; makes room when it is dropped.
#[derive(Debug)]
pub(crate) struct RequestPermit<'a> {
    limiter: &'a RequestLimiter,
    memory: u64,
}

/// There is no room for a request now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LimitReached {
    /// When to come again; none for those who are not among the next.
    pub(crate) retry_after: Option<Duration>,
}

impl RequestLimiter {
    /// For a worker that works on `concurrency` activities at once, with `memory` bytes for images.
    pub fn new(concurrency: usize, memory: u64) -> RequestLimiter {
        // The other half is left for what is short: looks and e-mails.
        RequestLimiter { max_requests: (concurrency / 2).max(1), memory, state: Mutex::default() }
    }

    /// The memory that a request with so many bytes of images takes.
    pub fn memory_for(image_bytes: u64) -> u64 {
        image_bytes.saturating_mul(COPIES_IN_MEMORY)
    }

    /// Lets a run's request in, or turns it away. One that is larger than all of the memory gets all of
    /// it, since it could never be sent otherwise.
    pub(crate) fn try_acquire(
        &self,
        run: RunKey,
        image_bytes: u64,
    ) -> Result<RequestPermit<'_>, LimitReached> {
        self.try_acquire_at(Instant::now(), run, image_bytes)
    }

    fn try_acquire_at(
        &self,
        now: Instant,
        run: RunKey,
        image_bytes: u64,
    ) -> Result<RequestPermit<'_>, LimitReached> {
        let memory = Self::memory_for(image_bytes).min(self.memory);
        let mut state = self.state();
        state.queue.retain(|queued| queued.run == run || queued.expires_at > now);
        let (requests_reserved, memory_reserved) = match state.queue.front() {
            Some(first) if first.run != run && first.retries_soon => (1, first.memory),
            _ => (0, 0),
        };
        let has_room = state.active + requests_reserved < self.max_requests
            && state.memory_in_use.saturating_add(memory).saturating_add(memory_reserved)
                <= self.memory;
        if !has_room {
            return Err(state.reject(now, run, memory, self.max_requests));
        }
        state.queue.retain(|queued| queued.run != run);
        state.active += 1;
        state.memory_in_use += memory;
        Ok(RequestPermit { limiter: self, memory })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives a request its place in the queue, or leaves it the one that it has. The first `soon_count` are
    /// told to come soon.
    fn reject(
        &mut self,
        now: Instant,
        run: RunKey,
        memory: u64,
        soon_count: usize,
    ) -> LimitReached {
        let position = self.queue.iter().position(|queued| queued.run == run);
        let position = position.unwrap_or(self.queue.len());
        let retry_after = (position < soon_count).then_some(SHORT_DELAY);
        let expires_at = now + retry_after.unwrap_or(MAX_REQUEST_BACKOFF) + RETRY_GRACE;
        let retries_soon = retry_after.is_some();
        if let Some(queued) = self.queue.get_mut(position) {
            (queued.expires_at, queued.retries_soon) = (expires_at, retries_soon);
        } else if position < MAX_QUEUE_LEN {
            self.queue.push_back(QueuedRequest { run, memory, retries_soon, expires_at });
        }
        LimitReached { retry_after }
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.active -= 1;
        state.memory_in_use -= self.memory;
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
    fn half_of_the_concurrency_is_left_for_polls_and_email() {
        let limiter = RequestLimiter::new(4, 512 * MIB);
        let first = limiter.try_acquire(run(), 1).expect("room");
        let _second = limiter.try_acquire(run(), 1).expect("room");
        let third = run();
        assert!(limiter.try_acquire(third, 1).is_err(), "and it does not wait");
        drop(first);
        assert!(limiter.try_acquire(run(), 1).is_err(), "the place is kept for the third");
        assert!(limiter.try_acquire(third, 1).is_ok());
    }

    #[test]
    fn every_copy_of_an_image_counts_against_the_memory_limit() {
        let limiter = RequestLimiter::new(100, 8 * MIB);
        let first = limiter.try_acquire(run(), MIB).expect("room");
        let _second = limiter.try_acquire(run(), MIB).expect("just room");
        let third = run();
        assert!(limiter.try_acquire(third, 1).is_err());
        assert!(
            limiter.try_acquire(run(), 0).is_err(),
            "before the third, only what leaves it room"
        );
        drop(first);
        assert!(limiter.try_acquire(run(), 0).is_ok(), "links take none");
        assert!(limiter.try_acquire(third, MIB).is_ok());
    }

    #[test]
    fn a_request_larger_than_the_memory_limit_runs_alone() {
        let limiter = RequestLimiter::new(100, 8 * MIB);
        let large = limiter.try_acquire(run(), 1000 * MIB).expect("room");
        let small = run();
        assert!(limiter.try_acquire(small, 1).is_err());
        drop(large);
        assert!(limiter.try_acquire(small, 1).is_ok());
    }

    /// A request that comes until it is let in.
    struct RetryingRequest {
        run: RunKey,
        image_bytes: u64,
        next_attempt: Instant,
        backoff: Duration,
    }

    impl RetryingRequest {
        fn new(next_attempt: Instant, image_bytes: u64) -> RetryingRequest {
            RetryingRequest { run: run(), image_bytes, next_attempt, backoff: SECOND }
        }

        /// Comes when it is time; turned away, it comes again as it is told, or else ever later.
        fn attempt<'a>(
            &mut self,
            limiter: &'a RequestLimiter,
            now: Instant,
        ) -> Option<RequestPermit<'a>> {
            if self.next_attempt > now {
                return None;
            }
            match limiter.try_acquire_at(now, self.run, self.image_bytes) {
                Ok(permit) => Some(permit),
                Err(rejected) => {
                    self.backoff = (2 * self.backoff).min(MAX_REQUEST_BACKOFF);
                    self.next_attempt = now + rejected.retry_after.unwrap_or(self.backoff);
                    None
                }
            }
        }
    }

    #[test]
    fn a_large_request_is_not_starved_by_small_ones() {
        // A small one every quarter of a second, each under way for ten seconds: more than there is room
        // for, so that others always wait to take what gets free.
        const LASTS: Duration = Duration::from_secs(10);
        let limiter = RequestLimiter::new(200, 512 * MIB);
        let began = Instant::now();
        let arrives = began + 30 * SECOND;
        let mut large = RetryingRequest::new(arrives, 90 * MIB);
        let (mut small, mut active) = (Vec::new(), VecDeque::new());
        for quarter in 0..4 * 120 {
            let now = began + quarter * SECOND / 4;
            while active.front().is_some_and(|(ends, _)| *ends <= now) {
                active.pop_front();
            }
            if large.attempt(&limiter, now).is_some() {
                let waited = now - arrives;
                assert!(waited > SECOND && waited < 3 * LASTS, "{waited:?}");
                return;
            }
            small.push(RetryingRequest::new(now, 4 * MIB));
            small.retain_mut(|request| match request.attempt(&limiter, now) {
                Some(permit) => {
                    active.push_back((now + LASTS, permit));
                    false
                }
                None => true,
            });
        }
        panic!("it was never let in");
    }

    #[test]
    fn a_queue_position_expires_when_its_request_does_not_return() {
        let limiter = RequestLimiter::new(2, 512 * MIB);
        let now = Instant::now();
        let first = limiter.try_acquire_at(now, run(), 1).expect("room");
        let rejected = limiter.try_acquire_at(now, run(), 1).expect_err("no room");
        assert_eq!(rejected, LimitReached { retry_after: Some(SHORT_DELAY) });
        drop(first);
        let other = run();
        assert!(limiter.try_acquire_at(now + SHORT_DELAY, other, 1).is_err(), "it may still come");
        assert!(limiter.try_acquire_at(now + SHORT_DELAY + RETRY_GRACE, other, 1).is_ok());
    }

    #[test]
    fn capacity_is_reserved_only_for_a_request_that_retries_soon() {
        let limiter = RequestLimiter::new(2, 512 * MIB);
        let now = Instant::now();
        let active = limiter.try_acquire_at(now, run(), 1).expect("room");
        let (next, later) = (run(), run());
        assert!(limiter.try_acquire_at(now, next, 1).is_err());
        let rejected = limiter.try_acquire_at(now, later, 1).expect_err("no room");
        assert_eq!(rejected, LimitReached { retry_after: None });
        drop(active);
        drop(limiter.try_acquire_at(now + SHORT_DELAY, next, 1).expect("its turn"));

        assert!(
            limiter.try_acquire_at(now + SHORT_DELAY, run(), 1).is_ok(),
            "the first in the queue is far away"
        );
    }

    #[test]
    fn only_the_next_requests_in_the_queue_retry_soon() {
        let limiter = RequestLimiter::new(4, 512 * MIB);
        let _under_way = [limiter.try_acquire(run(), 1), limiter.try_acquire(run(), 1)];
        let rejected: Vec<_> = (0..3)
            .map(|_| limiter.try_acquire(run(), 1).expect_err("no room").retry_after)
            .collect();
        assert_eq!(rejected, [Some(SHORT_DELAY), Some(SHORT_DELAY), None]);
    }
}

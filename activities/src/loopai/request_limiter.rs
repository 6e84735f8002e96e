//! Limits how many concurrent requests a worker sends to LoopAI, and how much memory their images use. A single request
//! may contain a hundred megabytes and take half a minute. The limits across all workers (slots, hourly limit, circuit
//! breaker) are described in `docs/adr/0012-loopai-limits-and-circuit-breaker.md`.
//!
//! The limiter admits or rejects a request immediately because a waiting request would occupy one of the worker's task
//! slots. A rejected request joins a queue and is retried like any failed attempt. A new request is admitted only if
//! enough capacity remains for the request at the front of the queue. Small requests therefore cannot starve a large
//! one.

use diagflow_store::RunKey;
use diagflow_workflows::policy::MAX_REQUEST_BACKOFF;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Each image is held in memory three times: as the file, as its base64 encoding, and in the request body. Together,
/// the copies take 1 + 4/3 + 4/3 times the size of the image, rounded up here.
const COPIES_IN_MEMORY: u64 = 4;
/// Retry delay for requests at the front of the queue. It is short because capacity is reserved for the first of them.
const SHORT_DELAY: Duration = Duration::from_secs(2);
/// A queued request that is not retried within this time loses its position. Another worker may have taken it, or the
/// submission may have been cancelled.
const RETRY_GRACE: Duration = Duration::from_secs(15);
const MAX_QUEUE_LEN: usize = 1000;

#[derive(Debug)]
pub struct RequestLimiter {
    max_requests: usize,
    /// Memory limit in bytes.
    memory: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    active: usize,
    memory_in_use: u64,
    queue: VecDeque<QueuedRequest>,
}

#[derive(Debug)]
struct QueuedRequest {
    run: RunKey,
    memory: u64,
    /// Whether the request is retried after [`SHORT_DELAY`]. Capacity is reserved only for such requests.
    retries_soon: bool,
    expires_at: Instant,
}

/// A permit for an admitted request. Dropping it releases the request's capacity.
#[derive(Debug)]
pub(crate) struct RequestPermit<'a> {
    limiter: &'a RequestLimiter,
    memory: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LimitReached {
    /// Delay before the next attempt, set only for requests at the front of the queue.
    pub(crate) retry_after: Option<Duration>,
}

impl RequestLimiter {
    /// Creates a limiter for a worker that runs `concurrency` activities at once and has `memory` bytes for images.
    pub fn new(concurrency: usize, memory: u64) -> RequestLimiter {
        // Half of the task slots are left free for short activities such as polls and e-mails.
        RequestLimiter { max_requests: (concurrency / 2).max(1), memory, state: Mutex::default() }
    }

    /// Returns the memory, in bytes, needed by a request with `image_bytes` bytes of images.
    pub fn memory_for(image_bytes: u64) -> u64 {
        image_bytes.saturating_mul(COPIES_IN_MEMORY)
    }

    /// Admits or rejects a run's request. A request that exceeds the memory limit counts as exactly the limit because
    /// it could never be admitted otherwise.
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
        // Lock poisoning is ignored because a panic cannot leave the state half-updated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a rejected request to the queue, or extends its expiry if it is already queued. The first `soon_count`
    /// requests in the queue get [`SHORT_DELAY`].
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
    fn half_of_the_task_slots_are_left_for_polls_and_emails() {
        let limiter = RequestLimiter::new(4, 512 * MIB);
        let first = limiter.try_acquire(run(), 1).expect("room");
        let _second = limiter.try_acquire(run(), 1).expect("room");
        let third = run();
        assert!(limiter.try_acquire(third, 1).is_err(), "the request is rejected immediately");
        drop(first);
        assert!(limiter.try_acquire(run(), 1).is_err(), "capacity is reserved for the queue");
        assert!(limiter.try_acquire(third, 1).is_ok());
    }

    #[test]
    fn every_copy_of_an_image_counts_towards_the_memory_limit() {
        let limiter = RequestLimiter::new(100, 8 * MIB);
        let first = limiter.try_acquire(run(), MIB).expect("room");
        let _second = limiter.try_acquire(run(), MIB).expect("just enough room");
        let third = run();
        assert!(limiter.try_acquire(third, 1).is_err());
        assert!(limiter.try_acquire(run(), 0).is_err(), "the queued request has priority");
        drop(first);
        assert!(limiter.try_acquire(run(), 0).is_ok(), "links need no memory");
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

    /// A request that retries until the limiter admits it.
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

        /// Tries to acquire a permit if the next attempt is due. After a rejection, the next attempt is due after the
        /// requested delay, or after an exponential backoff if none was requested.
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
        // A small request arrives every quarter of a second and takes ten seconds. This load exceeds the limit, so
        // there are always small requests waiting for capacity.
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
        panic!("the large request was never admitted");
    }

    #[test]
    fn a_queue_position_expires_if_its_request_is_not_retried() {
        let limiter = RequestLimiter::new(2, 512 * MIB);
        let now = Instant::now();
        let first = limiter.try_acquire_at(now, run(), 1).expect("room");
        let rejected = limiter.try_acquire_at(now, run(), 1).expect_err("no room");
        assert_eq!(rejected, LimitReached { retry_after: Some(SHORT_DELAY) });
        drop(first);
        let other = run();
        assert!(
            limiter.try_acquire_at(now + SHORT_DELAY, other, 1).is_err(),
            "the queued request may still be retried"
        );
        assert!(limiter.try_acquire_at(now + SHORT_DELAY + RETRY_GRACE, other, 1).is_ok());
    }

    #[test]
    fn capacity_is_reserved_only_for_a_request_that_is_retried_soon() {
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
            "the first queued request is retried much later"
        );
    }

    #[test]
    fn only_requests_at_the_front_of_the_queue_are_retried_soon() {
        let limiter = RequestLimiter::new(4, 512 * MIB);
        let _under_way = [limiter.try_acquire(run(), 1), limiter.try_acquire(run(), 1)];
        let rejected: Vec<_> = (0..3)
            .map(|_| limiter.try_acquire(run(), 1).expect_err("no room").retry_after)
            .collect();
        assert_eq!(rejected, [Some(SHORT_DELAY), Some(SHORT_DELAY), None]);
    }
}

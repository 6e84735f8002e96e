//! This process's rate limit counters.

use crate::error::{ApiError, ApiResult, RateLimitExceeded};
use crate::header_names::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::layers::limiter_states::SharedStates;
use crate::settings::RateLimits;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use diagflow_store::{SubmissionId, UserId};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A third of the requests allowed per minute may arrive at once.
const BURSTS_PER_MINUTE: u32 = 3;
/// Maximum number of callbacks per minute for one submission. Each callback makes the run poll immediately, which adds
/// about ten events to its workflow history. At this rate, even an hour of callbacks to five API processes stays below
/// Temporal's limit of 51,200 events.
const CALLBACKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(12).expect("not zero");
/// Minimum number of requests between two sweeps that remove idle counters.
const SWEEP_AFTER: usize = 1024;

/// A class of requests that share one counter per client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RateLimitClass {
    /// Submissions. Those that are invalid, or that fail because of an outage on our side, are not counted. Otherwise,
    /// a few typing errors could use up the quota of everyone behind the same address.
    Submit,
    /// All attempts to send a submission, including refused ones.
    SubmitAttempt,
    Cancel,
    /// Requests for statuses and event streams, and LoopAI's requests for images.
    Read,
    /// Sign-in and refresh.
    SignIn,
    Webhook,
    /// Health checks, metrics and documentation.
    Health,
    /// Requests to any route without valid credentials.
    Unauthenticated,
}

impl RateLimitClass {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::SubmitAttempt => "submit-attempt",
            Self::Cancel => "cancel",
            Self::Read => "read",
            Self::SignIn => "sign-in",
            Self::Webhook => "webhook",
            Self::Health => "health",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

pub(crate) struct Limiters {
    submit: Limiter,
    submit_attempt: Limiter,
    cancel: Limiter,
    read: Limiter,
    sign_in: Limiter,
    webhook: Limiter,
    health: Limiter,
    unauthenticated: Limiter,
    accounts: Limiter<UserId>,
    callbacks: Limiter<SubmissionId>,
}

impl Limiters {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self {
            submit: Limiter::new(limits.submit),
            submit_attempt: Limiter::new(limits.submit_attempt),
            // Patients do not cancel more often than they submit.
            cancel: Limiter::new(limits.submit),
            read: Limiter::new(limits.read),
            sign_in: Limiter::new(limits.sign_in),
            webhook: Limiter::new(limits.webhook),
            health: Limiter::new(limits.health),
            unauthenticated: Limiter::new(limits.unauthenticated),
            accounts: Limiter::new(limits.account),
            callbacks: Limiter::new(CALLBACKS_PER_MINUTE),
        }
    }

    pub(super) fn limiter(&self, class: RateLimitClass) -> &Limiter {
        match class {
            RateLimitClass::Submit => &self.submit,
            RateLimitClass::SubmitAttempt => &self.submit_attempt,
            RateLimitClass::Cancel => &self.cancel,
            RateLimitClass::Read => &self.read,
            RateLimitClass::SignIn => &self.sign_in,
            RateLimitClass::Webhook => &self.webhook,
            RateLimitClass::Health => &self.health,
            RateLimitClass::Unauthenticated => &self.unauthenticated,
        }
    }

    /// Counts a request that is not counted by its route, such as a request without valid credentials. `client` is
    /// [`crate::extract::client_info::ClientInfo::key`].
    pub(crate) fn admit(&self, class: RateLimitClass, client: IpAddr) -> Result<(), ApiError> {
        self.count(class, client).map(drop)
    }

    /// Counts a request. Use [`Self::revert`] to undo this.
    pub(crate) fn count(&self, class: RateLimitClass, client: IpAddr) -> ApiResult<Counted> {
        let limiter = self.limiter(class);
        let usage = limiter.count(client);
        limiter.check(class.name(), usage)?;
        Ok(Counted { class, client, usage })
    }

    /// Reverts a request's count, and returns the request with the usage for the response headers.
    pub(crate) fn revert(&self, counted: Counted) -> Counted {
        let usage = self.limiter(counted.class).revert(&counted.client, counted.usage);
        Counted { usage, ..counted }
    }

    pub(crate) fn add_headers(&self, counted: Counted, response: &mut Response) {
        self.limiter(counted.class).add_headers(counted.class.name(), counted.usage, response);
    }

    /// Counts an authenticated request, regardless of the client's address.
    pub(crate) fn admit_account(&self, account: UserId) -> Result<(), ApiError> {
        self.accounts.check("account", self.accounts.count(account))
    }

    /// Counts a callback for a submission, regardless of its sender.
    pub(crate) fn admit_callback(&self, submission: SubmissionId) -> Result<(), ApiError> {
        self.callbacks.check("callback", self.callbacks.count(submission))
    }
}

type Counters<K, C> = RateLimiter<K, SharedStates<K>, C, StateInformationMiddleware>;

/// Counts requests per key. By default, the key is the client's address.
pub(super) struct Limiter<K: Clone + Eq + Hash = IpAddr, C: Clock = DefaultClock> {
    counters: Counters<K, C>,
    states: SharedStates<K>,
    burst: u32,
    each: Duration,
    since_sweep: AtomicUsize,
}

/// A request that was counted and allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    class: RateLimitClass,
    client: IpAddr,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Number of further requests allowed immediately.
    remaining: u32,
    /// Time until the next request is allowed. Zero if the counted request was allowed.
    wait: Duration,
}

impl<K: Clone + Eq + Hash, C: Clock + Default> Limiter<K, C> {
    fn new(per_minute: NonZeroU32) -> Self {
        let each = Duration::from_secs(60) / per_minute.get();
        let burst = per_minute.get().div_ceil(BURSTS_PER_MINUTE);
        let quota = Quota::with_period(each).expect("60 s divided by a u32 is not zero");
        let quota =
            quota.allow_burst(NonZeroU32::new(burst).expect("a rounded-up quotient is not zero"));
        let states = SharedStates::default();
        let counters = RateLimiter::new(quota, states.clone(), C::default());
        Self { counters, states, burst, each, since_sweep: AtomicUsize::new(0) }
    }

    pub(super) fn count(&self, key: K) -> Usage {
        let checked = self.counters.check_key(&key);
        self.sweep();
        match checked {
            Ok(snapshot) => {
                Usage { remaining: snapshot.remaining_burst_capacity(), wait: Duration::ZERO }
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.counters.clock().now());
                Usage { remaining: 0, wait: wait.max(Duration::from_millis(1)) }
            }
        }
    }

    /// Reverts [`Self::count`] for an allowed request, and returns the usage without that request.
    pub(super) fn revert(&self, key: &K, usage: Usage) -> Usage {
        self.states.shift_back(key, self.each);
        Usage { remaining: usage.remaining + 1, ..usage }
    }

    /// Removes keys whose burst has completely refilled. With N keys, the sweep runs at most once every N requests, so
    /// the average cost per request is constant.
    fn sweep(&self) {
        let due = SWEEP_AFTER.max(self.counters.len());
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= due {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.counters.retain_recent();
            self.counters.shrink_to_fit();
        }
    }

    fn headers(&self, name: &str, usage: Usage) -> [(HeaderName, HeaderValue); 2] {
        let window = whole_seconds(self.each * self.burst);
        let missing = self.burst - usage.remaining.min(self.burst);
        let full = whole_seconds(self.each * missing);
        let policy = format!("\"{name}\";q={};w={window}", self.burst);
        let remaining = format!("\"{name}\";r={};t={full}", usage.remaining);
        [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, remaining)]
            .map(|(header, text)| (header, HeaderValue::from_str(&text).expect("plain ASCII")))
    }

    /// Adds the rate limit headers, unless another limit that rejected the request has already set them.
    pub(super) fn add_headers(&self, name: &str, usage: Usage, response: &mut Response) {
        for (header, value) in self.headers(name, usage) {
            response.headers_mut().entry(header).or_insert(value);
        }
    }

    pub(super) fn check(&self, name: &str, usage: Usage) -> Result<(), ApiError> {
        if usage.wait.is_zero() {
            return Ok(());
        }
        let seconds = whole_seconds(usage.wait);
        let headers = self.headers(name, usage);
        Err(ApiError::TooManyRequests(Box::new(RateLimitExceeded { seconds, headers })))
    }
}

fn whole_seconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_client_has_its_own_burst() {
        let limiter: Limiter = Limiter::new(NonZeroU32::new(30).expect("not zero"));
        for left in (0..10).rev() {
            let usage = limiter.count(address("192.0.2.1"));
            assert_eq!(usage, Usage { remaining: left, wait: Duration::ZERO });
        }
        let refused = limiter.count(address("192.0.2.1"));
        assert_eq!((refused.remaining, whole_seconds(refused.wait)), (0, 2));
        assert!(
            limiter.count(address("192.0.2.2")).wait.is_zero(),
            "another client has its own burst"
        );
        let mut response = Response::default();
        limiter.add_headers("submit", refused, &mut response);
        assert_eq!(response.headers()[RATE_LIMIT_POLICY], "\"submit\";q=10;w=20");
        assert_eq!(response.headers()[RATE_LIMIT], "\"submit\";r=0;t=20");
    }

    #[test]
    fn a_reverted_request_can_be_repeated() {
        let limiter =
            Limiter::<IpAddr, FakeRelativeClock>::new(NonZeroU32::new(6).expect("not zero"));
        let (client, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let remaining = |client| limiter.count(client).remaining;
        assert_eq!((remaining(client), remaining(client)), (1, 0));
        assert_eq!(remaining(other), 1);
        assert!(!limiter.count(client).wait.is_zero(), "the burst is used up");

        let usage = Usage { remaining: 0, wait: Duration::ZERO };
        assert_eq!(limiter.revert(&client, usage).remaining, 1);

        assert!(limiter.count(client).wait.is_zero(), "one request is reverted");
        let wait = limiter.count(client).wait;
        assert_eq!(whole_seconds(wait), 10, "only one request is reverted");
        assert_eq!(remaining(other), 0, "another client has its own burst");
        // After the burst has refilled, there is nothing to revert.
        limiter.counters.clock().advance(Duration::from_secs(60));
        limiter.revert(&client, usage);
        assert_eq!((remaining(client), remaining(client)), (1, 0));
        assert!(!limiter.count(client).wait.is_zero());
    }

    #[test]
    fn idle_clients_are_removed_from_memory() {
        let limiter =
            Limiter::<IpAddr, FakeRelativeClock>::new(NonZeroU32::new(600_000).expect("not zero"));
        for number in 0..20_000_u32 {
            limiter.count(IpAddr::V4(number.into()));
        }
        limiter.counters.clock().advance(Duration::from_millis(1));
        for _ in 0..=20_000 {
            limiter.count(address("192.0.2.1"));
        }
        assert!(limiter.counters.len() < 2 * SWEEP_AFTER, "{}", limiter.counters.len());
    }
}

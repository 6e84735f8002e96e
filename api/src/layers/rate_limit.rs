//! How many requests one client may send to the routes that anybody reaches. Each process counts for
//! itself: this keeps one client from taking the service away from others; guessing of passwords is slowed
//! down elsewhere (`auth::throttle`), over all processes. What is refused for want of a proof is counted at
//! every route (`auth::refuse`).
//!
//! Every answer of a route that is counted says where the client stands, by draft-ietf-httpapi-ratelimit-headers-10: the quota is the
//! burst, and the window the time in which a burst that was used up comes back, evenly.

use crate::app::AppState;
use crate::error::ApiError;
use crate::openapi::{self, Refusal};
use crate::origin::{self, Origin};
use crate::settings::RateLimits;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use diagflow_store::SubmissionId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use utoipa_axum::router::UtoipaMethodRouter;

/// What the client may do, and where it stands.
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A third of a minute's requests may come at once.
const BURSTS_PER_MINUTE: u32 = 3;
/// Call-backs for one submission: each makes its run look at once, with some ten events of a history that may
/// have 51,200. An hour of them from each of five API processes stays below.
const CALL_BACKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(12).expect("not zero");
/// Clients that are forgotten at the earliest after so many requests, once they are as if they were new.
const SWEEP_AFTER: usize = 1024;

/// Routes that are counted together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    /// Sending a submission.
    Submit,
    /// Reading where one stands.
    Read,
    /// Signing in, and staying so.
    SignIn,
    /// LoopAI's call-backs.
    Hook,
    /// How the service itself stands, and its pages.
    Health,
    /// Whatever was refused because nobody proved that they may, at any route.
    Refused,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::SignIn => "sign-in",
            Self::Hook => "hook",
            Self::Health => "health",
            Self::Refused => "refused",
        }
    }
}

/// The counters of this process.
pub(crate) struct Limiters {
    submit: Limiter,
    read: Limiter,
    sign_in: Limiter,
    hook: Limiter,
    health: Limiter,
    refused: Limiter,
    call_backs: Limiter<SubmissionId>,
}

impl Limiters {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self {
            submit: Limiter::new(limits.submit),
            read: Limiter::new(limits.read),
            sign_in: Limiter::new(limits.sign_in),
            hook: Limiter::new(limits.hook),
            health: Limiter::new(limits.health),
            refused: Limiter::new(limits.refused),
            call_backs: Limiter::new(CALL_BACKS_PER_MINUTE),
        }
    }

    fn of(&self, counted: Counted) -> &Limiter {
        match counted {
            Counted::Submit => &self.submit,
            Counted::Read => &self.read,
            Counted::SignIn => &self.sign_in,
            Counted::Hook => &self.hook,
            Counted::Health => &self.health,
            Counted::Refused => &self.refused,
        }
    }

    /// Counts something of a client that is not the whole request.
    ///
    /// # Errors
    /// [`ApiError::TooManyRequests`].
    pub(crate) fn admit(&self, counted: Counted, address: IpAddr) -> Result<(), ApiError> {
        let limiter = self.of(counted);
        limiter.admitted(counted.name(), limiter.count(origin::client(address)))
    }

    /// Counts a call-back for a submission, whoever sends it.
    ///
    /// # Errors
    /// [`ApiError::TooManyRequests`].
    pub(crate) fn admit_call_back(&self, submission: SubmissionId) -> Result<(), ApiError> {
        self.call_backs.admitted("call-back", self.call_backs.count(submission))
    }
}

/// What a client is told that sent too much.
#[derive(Debug)]
pub(crate) struct Exceeded {
    /// Until the next request may be sent.
    pub(crate) seconds: u64,
    /// What it may, and where it stands.
    pub(crate) headers: [(HeaderName, HeaderValue); 2],
}

type Counters<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, StateInformationMiddleware>;

/// Counts for each key, which by default is a client.
struct Limiter<K: Clone + Eq + Hash = IpAddr, C: Clock = DefaultClock> {
    counters: Counters<K, C>,
    burst: u32,
    each: Duration,
    since_sweep: AtomicUsize,
}

/// Where a client stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Requests that may follow at once.
    remaining: u32,
    /// Until the next one may be sent; zero where this one was let through.
    wait: Duration,
}

impl<K: Clone + Eq + Hash, C: Clock + Default> Limiter<K, C> {
    fn new(per_minute: NonZeroU32) -> Self {
        let each = Duration::from_secs(60) / per_minute.get();
        let burst = per_minute.get().div_ceil(BURSTS_PER_MINUTE);
        let quota = Quota::with_period(each).expect("a minute has less than 10^9 of them");
        let quota = quota.allow_burst(NonZeroU32::new(burst).expect("rounded up"));
        let counters = RateLimiter::new(quota, DefaultKeyedStateStore::default(), C::default());
        Self { counters, burst, each, since_sweep: AtomicUsize::new(0) }
    }

    fn count(&self, key: K) -> Standing {
        let checked = self.counters.check_key(&key);
        self.sweep();
        match checked {
            Ok(snapshot) => {
                Standing { remaining: snapshot.remaining_burst_capacity(), wait: Duration::ZERO }
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.counters.clock().now());
                Standing { remaining: 0, wait: wait.max(Duration::from_millis(1)) }
            }
        }
    }

    /// Forgets keys that have their whole burst again. Once in as many requests as there are keys,
    /// so it costs each request the same, however many there are.
    fn sweep(&self) {
        let due = SWEEP_AFTER.max(self.counters.len());
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= due {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.counters.retain_recent();
            self.counters.shrink_to_fit();
        }
    }

    fn headers(&self, name: &str, standing: Standing) -> [(HeaderName, HeaderValue); 2] {
        let window = whole_seconds(self.each * self.burst);
        let missing = self.burst - standing.remaining.min(self.burst);
        let full = whole_seconds(self.each * missing);
        let policy = format!("\"{name}\";q={};w={window}", self.burst);
        let stands = format!("\"{name}\";r={};t={full}", standing.remaining);
        [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, stands)]
            .map(|(header, text)| (header, HeaderValue::from_str(&text).expect("plain ASCII")))
    }

    /// Tells where the client stands, unless the answer is a refusal by another limit, which tells itself.
    fn tell(&self, name: &str, standing: Standing, response: &mut Response) {
        for (header, value) in self.headers(name, standing) {
            response.headers_mut().entry(header).or_insert(value);
        }
    }

    fn admitted(&self, name: &str, standing: Standing) -> Result<(), ApiError> {
        if standing.wait.is_zero() {
            return Ok(());
        }
        let seconds = whole_seconds(standing.wait);
        let headers = self.headers(name, standing);
        Err(ApiError::TooManyRequests(Box::new(Exceeded { seconds, headers })))
    }
}

fn whole_seconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Routes that count what each client sends, and say so in their documentation.
pub(crate) fn limited(
    state: &AppState,
    counted: Counted,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    openapi::note(&mut paths, &[Refusal::TooMany]);
    let layer = from_fn_with_state((state.clone(), counted), count);
    (schemas, paths, router.route_layer(layer))
}

/// The same for routes that stand in no documentation.
pub(crate) fn limited_beside(state: &AppState, counted: Counted, router: Router) -> Router {
    router.layer(from_fn_with_state((state.clone(), counted), count))
}

async fn count(
    State((state, counted)): State<(AppState, Counted)>,
    request: Request,
    next: Next,
) -> Response {
    let proxies = state.app.settings.trusted_proxies;
    let origin = Origin::of(request.headers(), request.extensions(), proxies);
    let limiter = state.limiters.of(counted);
    let standing = limiter.count(origin.client());
    let mut response = match limiter.admitted(counted.name(), standing) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => exceeded.into_response(),
    };
    limiter.tell(counted.name(), standing, &mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_is_let_through_and_then_each_client_waits_for_itself() {
        let limiter: Limiter = Limiter::new(NonZeroU32::new(30).expect("not zero"));
        for left in (0..10).rev() {
            let standing = limiter.count(address("192.0.2.1"));
            assert_eq!(standing, Standing { remaining: left, wait: Duration::ZERO });
        }
        let refused = limiter.count(address("192.0.2.1"));
        assert_eq!((refused.remaining, whole_seconds(refused.wait)), (0, 2));
        assert!(limiter.count(address("192.0.2.2")).wait.is_zero(), "another client");
        let mut response = Response::default();
        limiter.tell("submit", refused, &mut response);
        assert_eq!(response.headers()[RATE_LIMIT_POLICY], "\"submit\";q=10;w=20");
        assert_eq!(response.headers()[RATE_LIMIT], "\"submit\";r=0;t=20");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let limits = RateLimits { submit: NonZeroU32::MIN, ..RateLimits::default() };
        let limiters = Limiters::new(&limits);
        let admitted = |text| limiters.admit(Counted::Submit, address(text)).is_ok();
        assert!(admitted("2001:db8:1:2::1"));
        assert!(!admitted("2001:db8:1:2:ffff::2"));
        assert!(admitted("2001:db8:1:3::1"));
    }

    #[test]
    fn clients_that_are_as_new_are_forgotten() {
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

//! Limits audit entries about anonymous clients.

use diagflow_store::Action;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// Limit per process and action. Ten entries per second, which take a few milliseconds each, leave the lock of the
/// audit log mostly free for authenticated callers. Honest mistakes are far less frequent.
const ENTRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");

/// Counts each action separately, so that many entries about one action do not suppress entries about another.
pub(crate) struct AnonymousAuditLimiter(DefaultKeyedRateLimiter<Action>);

impl AnonymousAuditLimiter {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(ENTRIES_PER_MINUTE)))
    }

    pub(crate) fn allow(&self, action: Action) -> bool {
        self.0.check_key(&action).is_ok()
    }
}

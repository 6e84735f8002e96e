//! Limits audit entries about anonymous clients.

use diagflow_store::Action;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// Per process and action. At ten entries per second of a few ms each, the lock of the audit log is mostly free for
/// identified callers. Honest mistakes stay far below.
const ENTRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");

/// Counts each action separately, so that noise of one kind does not suppress another.
pub(crate) struct AnonymousAuditLimiter(DefaultKeyedRateLimiter<Action>);

impl AnonymousAuditLimiter {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(ENTRIES_PER_MINUTE)))
    }

    pub(crate) fn allow(&self, action: Action) -> bool {
        self.0.check_key(&action).is_ok()
    }
}

//! Counts lines of the audit about nobody that we know.

use diagflow_store::Action;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// Lines about nobody that we know which one process writes in a minute, of each kind of action. At ten in a
/// second, and a few milliseconds each, most of the lock's time is left to those who are known; people and
/// programs that err do not come near it.
const ENTRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");

/// Counts lines about nobody that we know. Each kind of action for itself, so that noise of one kind does not
/// drown another.
pub(crate) struct AnonymousAuditLimiter(DefaultKeyedRateLimiter<Action>);

impl AnonymousAuditLimiter {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(ENTRIES_PER_MINUTE)))
    }

    /// Whether one more entry about such an action may be written.
    pub(crate) fn allow(&self, action: Action) -> bool {
        self.0.check_key(&action).is_ok()
    }
}

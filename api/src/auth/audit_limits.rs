//! Limits the number of audit entries about refused requests.

use diagflow_store::{Action, ActorKind, NewAuditEntry, UserId};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// Limit per action, shared by all anonymous clients of this process. Appending an entry takes a few milliseconds, so
/// at ten entries per second the audit log's lock is mostly free for authenticated callers. Legitimate failures are far
/// less frequent.
const ANONYMOUS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");
/// Limit per account and action. A person who clicks a forbidden link, or a script that probes its permissions, stays
/// below this limit.
const PER_ACCOUNT_AND_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

/// Counts each action separately, so a flood of entries about one action does not suppress entries about another.
pub(crate) struct AuditLimits {
    anonymous: DefaultKeyedRateLimiter<Action>,
    accounts: DefaultKeyedRateLimiter<(UserId, Action)>,
}

/// The limit that prevented an entry from being appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum AuditLimit {
    /// This process has appended too many entries about anonymous clients.
    Process,
    /// This process has appended too many entries about the account.
    Account,
}

impl AuditLimits {
    pub(crate) fn new() -> Self {
        Self {
            anonymous: RateLimiter::keyed(Quota::per_minute(ANONYMOUS_PER_MINUTE)),
            accounts: RateLimiter::keyed(Quota::per_minute(PER_ACCOUNT_AND_MINUTE)),
        }
    }

    pub(crate) fn check(&self, refusal: &NewAuditEntry) -> Result<(), AuditLimit> {
        let action = refusal.action;
        match (refusal.actor.kind, refusal.actor.id) {
            (ActorKind::Anonymous, _) => {
                self.anonymous.check_key(&action).map_err(|_| AuditLimit::Process)
            }
            (_, Some(account)) => {
                self.accounts.check_key(&(account, action)).map_err(|_| AuditLimit::Account)
            }
            (_, None) => Ok(()),
        }
    }
}

//! How guessing of passwords is slowed down: by account and network together, by network, and by account.
//! Nobody can lock somebody else out for good: from a network from which they signed in lately, people are
//! not slowed down by what happens elsewhere, and everywhere failures heal.

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::origin::Origin;
use diagflow_store::{Admitted, Limit, Sha256, SignInAttempt};
use std::time::Duration;

const A_QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);
const A_MINUTE: Duration = Duration::from_secs(60);

/// An attempt at a password that may be made. It counts as a failure unless it is said to be none.
#[must_use = "an attempt that succeeded is to be taken back"]
pub(crate) struct Attempt {
    reserved: SignInAttempt,
    together: Sha256,
}

/// Asks whether somebody at `origin` may try a password of the account of this address, which may exist
/// or not: no difference is made.
///
/// # Errors
/// [`ApiError::TooManyAttempts`].
pub(crate) async fn attempt(state: &AppState, origin: &Origin, email: &str) -> ApiResult<Attempt> {
    let (email, network) = (email.trim().to_lowercase(), origin.network());
    let together = subject(&["account and network", &email, &network]);
    let mut limits = vec![
        Limit { subject: together, free: 5, longest: A_QUARTER_OF_AN_HOUR },
        Limit { subject: subject(&["network", &network]), free: 20, longest: A_QUARTER_OF_AN_HOUR },
    ];
    if !state.app.store.is_known_network(&email, &network).await? {
        let account = subject(&["account", &email]);
        limits.push(Limit { subject: account, free: 20, longest: A_MINUTE });
    }
    match state.app.store.attempt(&limits).await? {
        Admitted::Yes(reserved) => Ok(Attempt { reserved, together }),
        Admitted::After(wait) => {
            Err(ApiError::TooManyAttempts { seconds: wait.as_millis().div_ceil(1000) as u64 })
        }
    }
}

impl Attempt {
    /// The password was right: nothing is counted, and this account's failures from here are forgotten.
    pub(crate) async fn succeeded(self, state: &AppState) -> ApiResult<()> {
        Ok(state.app.store.attempt_succeeded(&self.reserved, self.together).await?)
    }
}

/// A digest of names, each with its length, so that nothing can move from one into the next.
fn subject(names: &[&str]) -> Sha256 {
    let text: String = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    Sha256::of(text.as_bytes())
}

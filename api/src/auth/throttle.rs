//! How guessing of passwords is slowed down, and nobody locked out for good: failures heal everywhere, and
//! whoever signed in before is counted apart from all others. An attempt is made in the first of these ways
//! that is open:
//!
//! 1. from a device that signed in to the account ([`super::device`]): failures of that device alone;
//! 2. as everybody: failures of account and network together, of the network, and of the account;
//! 3. from a network from which the account signed in lately: failures of its own; those of account and
//!    network together and of the network must be open, but do not count these;
//! 4. from the very address from which the account signed in lately: failures of account and address.
//!
//! A network and an address are shared with strangers, so the last two may not show: they come after the way
//! that everybody has, count nothing that everybody sees, and whoever fails there is told what everybody is
//! told. Otherwise a colleague behind the same address would learn which accounts exist.

use crate::app::AppState;
use crate::auth::device::Device;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use diagflow_store::{AttemptDecision, Sha256, SignInAttempt, ThrottleLimit};
use std::time::Duration;

const FIFTEEN_MINUTES: Duration = Duration::from_secs(15 * 60);
const ONE_MINUTE: Duration = Duration::from_secs(60);

/// An attempt at a password that may be made. It counts as a failure unless it is said to be none.
#[must_use = "an attempt that succeeded is to be taken back"]
pub(crate) struct PasswordAttempt {
    reserved: SignInAttempt,
    /// What is counted for this account and whoever tries, and for nobody else.
    own: Sha256,
    /// What others would have been told instead, where only this account's own people may try.
    public_wait: Option<Duration>,
}

/// The limits of each way that there is, those of this account and whoever tries first.
struct LimitSets {
    /// LimitSets that may be seen.
    visible: Vec<Vec<ThrottleLimit>>,
    /// LimitSets that only accounts have, for whoever shares a network or an address with their people.
    hidden: Vec<Vec<ThrottleLimit>>,
}

/// Asks whether somebody at `origin` may try a password of the account of this address, which may exist
/// or not: no difference is made that shows, as long as a failure is answered by [`PasswordAttempt::failed`].
/// `device` is the one that they come from, where the account knows it.
///
/// # Errors
/// [`ApiError::TooManyAttempts`].
pub(crate) async fn begin_attempt(
    state: &AppState,
    client: &ClientInfo,
    email: &str,
    device: Option<Device>,
) -> ApiResult<PasswordAttempt> {
    let sets = limit_sets(state, client, &email.trim().to_lowercase(), device).await?;
    let mut wait = Duration::MAX;
    for limits in &sets.visible {
        let own = limits[0].subject;
        match state.app.store.begin_sign_in(limits).await? {
            AttemptDecision::Allowed(reserved) => {
                return Ok(PasswordAttempt { reserved, own, public_wait: None });
            }
            AttemptDecision::Delayed(after) => wait = wait.min(after),
        }
    }
    for limits in &sets.hidden {
        let own = limits[0].subject;
        if let AttemptDecision::Allowed(reserved) = state.app.store.begin_sign_in(limits).await? {
            return Ok(PasswordAttempt { reserved, own, public_wait: Some(wait) });
        }
    }
    Err(too_many_attempts(wait))
}

fn too_many_attempts(wait: Duration) -> ApiError {
    ApiError::TooManyAttempts { seconds: wait.as_millis().div_ceil(1000) as u64 }
}

async fn limit_sets(
    state: &AppState,
    client: &ClientInfo,
    email: &str,
    device: Option<Device>,
) -> ApiResult<LimitSets> {
    let limit = |names: &[&str], free, longest| ThrottleLimit {
        subject: subject(names),
        free,
        longest,
        counts: true,
    };
    let own = |kind, of: &str| limit(&[kind, email, of], 5, FIFTEEN_MINUTES);
    let only_open = |limit| ThrottleLimit { counts: false, ..limit };
    let (network, address) = (client.network(), client.address.to_string());
    let known = state.app.store.known_client(email, &network, &address).await?;

    let here = own("account and network", &network);
    let everybody_here = limit(&["network", &network], 20, FIFTEEN_MINUTES);
    let everywhere = limit(&["account", email], 20, ONE_MINUTE);
    let device = device.map(|device| vec![own("account and device", &device.id())]);
    let general = vec![here, everybody_here, everywhere];

    let mut hidden = Vec::new();
    if known.network {
        let own = own("account and known network", &network);
        hidden.push(vec![own, only_open(here), only_open(everybody_here)]);
    }
    if known.address {
        hidden.push(vec![own("account and address", &address)]);
    }
    Ok(LimitSets { visible: device.into_iter().chain([general]).collect(), hidden })
}

impl PasswordAttempt {
    /// The password was right: nothing is counted, and this account's failures from here are forgotten.
    pub(crate) async fn succeeded(self, state: &AppState) -> ApiResult<()> {
        Ok(state.app.store.sign_in_succeeded(&self.reserved, self.own).await?)
    }

    /// The password was wrong: what to answer to somebody who may not learn whether there is an account.
    /// That is `refusal`, unless the attempt was one that others could not have made.
    pub(crate) fn failed(self, refusal: ApiError) -> ApiError {
        self.public_wait.map_or(refusal, too_many_attempts)
    }
}

/// A digest of names, each with its length, so that nothing can move from one into the next.
fn subject(names: &[&str]) -> Sha256 {
    let text: String = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    Sha256::of(text.as_bytes())
}

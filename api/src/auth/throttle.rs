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
use crate::extract::origin::Origin;
use diagflow_store::{Admitted, Limit, Sha256, SignInAttempt};
use std::time::Duration;

const A_QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);
const A_MINUTE: Duration = Duration::from_secs(60);

/// An attempt at a password that may be made. It counts as a failure unless it is said to be none.
#[must_use = "an attempt that succeeded is to be taken back"]
pub(crate) struct Attempt {
    reserved: SignInAttempt,
    /// What is counted for this account and whoever tries, and for nobody else.
    own: Sha256,
    /// What others would have been told instead, where only this account's own people may try.
    others_wait: Option<Duration>,
}

/// The limits of each way that there is, those of this account and whoever tries first.
struct Ways {
    /// Ways that may be seen.
    shown: Vec<Vec<Limit>>,
    /// Ways that only accounts have, for whoever shares a network or an address with their people.
    hidden: Vec<Vec<Limit>>,
}

/// Asks whether somebody at `origin` may try a password of the account of this address, which may exist
/// or not: no difference is made that shows, as long as a failure is answered by [`Attempt::failed`].
/// `device` is the one that they come from, where the account knows it.
///
/// # Errors
/// [`ApiError::TooManyAttempts`].
pub(crate) async fn attempt(
    state: &AppState,
    origin: &Origin,
    email: &str,
    device: Option<Device>,
) -> ApiResult<Attempt> {
    let ways = ways(state, origin, &email.trim().to_lowercase(), device).await?;
    let mut wait = Duration::MAX;
    for limits in &ways.shown {
        let own = limits[0].subject;
        match state.app.store.attempt(limits).await? {
            Admitted::Yes(reserved) => return Ok(Attempt { reserved, own, others_wait: None }),
            Admitted::After(after) => wait = wait.min(after),
        }
    }
    for limits in &ways.hidden {
        let own = limits[0].subject;
        if let Admitted::Yes(reserved) = state.app.store.attempt(limits).await? {
            return Ok(Attempt { reserved, own, others_wait: Some(wait) });
        }
    }
    Err(too_many(wait))
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::TooManyAttempts { seconds: wait.as_millis().div_ceil(1000) as u64 }
}

async fn ways(
    state: &AppState,
    origin: &Origin,
    email: &str,
    device: Option<Device>,
) -> ApiResult<Ways> {
    let limit = |names: &[&str], free, longest| Limit {
        subject: subject(names),
        free,
        longest,
        counts: true,
    };
    let own = |kind, of: &str| limit(&[kind, email, of], 5, A_QUARTER_OF_AN_HOUR);
    let only_open = |limit| Limit { counts: false, ..limit };
    let (network, address) = (origin.network(), origin.address.to_string());
    let known = state.app.store.known_origin(email, &network, &address).await?;

    let here = own("account and network", &network);
    let everybody_here = limit(&["network", &network], 20, A_QUARTER_OF_AN_HOUR);
    let everywhere = limit(&["account", email], 20, A_MINUTE);
    let device = device.map(|device| vec![own("account and device", &device.name())]);
    let as_everybody = vec![here, everybody_here, everywhere];

    let mut hidden = Vec::new();
    if known.network {
        let own = own("account and known network", &network);
        hidden.push(vec![own, only_open(here), only_open(everybody_here)]);
    }
    if known.address {
        hidden.push(vec![own("account and address", &address)]);
    }
    Ok(Ways { shown: device.into_iter().chain([as_everybody]).collect(), hidden })
}

impl Attempt {
    /// The password was right: nothing is counted, and this account's failures from here are forgotten.
    pub(crate) async fn succeeded(self, state: &AppState) -> ApiResult<()> {
        Ok(state.app.store.attempt_succeeded(&self.reserved, self.own).await?)
    }

    /// The password was wrong: what to answer to somebody who may not learn whether there is an account.
    /// That is `refusal`, unless the attempt was one that others could not have made.
    pub(crate) fn failed(self, refusal: ApiError) -> ApiError {
        self.others_wait.map_or(refusal, too_many)
    }
}

/// A digest of names, each with its length, so that nothing can move from one into the next.
fn subject(names: &[&str]) -> Sha256 {
    let text: String = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    Sha256::of(text.as_bytes())
}

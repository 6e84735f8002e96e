//! How guessing of passwords is slowed down, and nobody locked out for good: failures heal everywhere, and
//! whoever signed in before is counted apart from all others. An attempt is made in the first of these ways
//! that is open:
//!
//! 1. from a device that signed in to the account ([`super::device`]): failures of that device alone;
//! 2. from the very address from which the account signed in lately: failures of account and address;
//! 3. as everybody: failures of account and network together, of the network, and of the account; the last
//!    not from a network from which the account signed in lately.

use super::device::Device;
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
    /// What is counted for this account and whoever tries, and for nobody else.
    own: Sha256,
}

/// Asks whether somebody at `origin` may try a password of the account of this address, which may exist
/// or not: no difference is made. `device` is the one that they come from, where the account knows it.
///
/// # Errors
/// [`ApiError::TooManyAttempts`].
pub(crate) async fn attempt(
    state: &AppState,
    origin: &Origin,
    email: &str,
    device: Option<Device>,
) -> ApiResult<Attempt> {
    let mut least = Duration::MAX;
    for limits in ways(state, origin, &email.trim().to_lowercase(), device).await? {
        let own = limits[0].subject;
        match state.app.store.attempt(&limits).await? {
            Admitted::Yes(reserved) => return Ok(Attempt { reserved, own }),
            Admitted::After(wait) => least = least.min(wait),
        }
    }
    Err(ApiError::TooManyAttempts { seconds: least.as_millis().div_ceil(1000) as u64 })
}

/// The limits of each way that there is, those of this account and whoever tries first.
async fn ways(
    state: &AppState,
    origin: &Origin,
    email: &str,
    device: Option<Device>,
) -> ApiResult<Vec<Vec<Limit>>> {
    let limit = |names: &[&str], free, longest| Limit { subject: subject(names), free, longest };
    let own = |kind, of: &str| limit(&[kind, email, of], 5, A_QUARTER_OF_AN_HOUR);
    let (network, address) = (origin.network(), origin.address.to_string());
    let known = state.app.store.known_origin(email, &network, &address).await?;

    let mut ways = Vec::new();
    if let Some(device) = device {
        ways.push(vec![own("account and device", &device.name())]);
    }
    if known.address {
        ways.push(vec![own("account and address", &address)]);
    }
    let mut as_everybody = vec![
        own("account and network", &network),
        limit(&["network", &network], 20, A_QUARTER_OF_AN_HOUR),
    ];
    if !known.network {
        as_everybody.push(limit(&["account", email], 20, A_MINUTE));
    }
    ways.push(as_everybody);
    Ok(ways)
}

impl Attempt {
    /// The password was right: nothing is counted, and this account's failures from here are forgotten.
    pub(crate) async fn succeeded(self, state: &AppState) -> ApiResult<()> {
        Ok(state.app.store.attempt_succeeded(&self.reserved, self.own).await?)
    }
}

/// A digest of names, each with its length, so that nothing can move from one into the next.
fn subject(names: &[&str]) -> Sha256 {
    let text: String = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    Sha256::of(text.as_bytes())
}

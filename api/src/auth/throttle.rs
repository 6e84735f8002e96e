//! Throttles password guessing without locking anyone out: failures expire, and attempts from clients known to an
//! account are counted separately. An attempt uses the first of the following tracks whose limits allow it:
//!
//! 1. For a device that has signed in to the account before ([`super::device`]): limits the failures from that device.
//! 2. For all clients: limits the failures for the account from the client's network, the failures for any account from
//!    that network, and the failures for the account from any network.
//! 3. For a network from which the account signed in recently: limits the failures on this track. The first two limits
//!    of track 2 apply as well, but attempts on track 3 do not count towards them.
//! 4. For an IP address from which the account signed in recently: limits the failures for the account from that
//!    address.
//!
//! Strangers can share a network or an IP address with the account's owner, so tracks 3 and 4 must stay hidden: they
//! are tried after track 2, do not affect its counters, and return the same response as track 2 if an attempt fails.
//! Otherwise, a colleague behind the same address could find out which accounts exist.

use crate::app::AppState;
use crate::auth::device::Device;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use diagflow_store::{AttemptDecision, Sha256, SignInAttempt, ThrottleLimit};
use std::time::Duration;

const FIFTEEN_MINUTES: Duration = Duration::from_secs(15 * 60);
const ONE_MINUTE: Duration = Duration::from_secs(60);

/// A password attempt, which counts as failed unless [`PasswordAttempt::succeeded`] is called.
#[must_use = "a successful attempt must be reported"]
pub(crate) struct PasswordAttempt {
    reserved: SignInAttempt,
    /// Identifies the counter specific to this account and client.
    own: Sha256,
    /// The time that any other client would have to wait. Set only on a hidden track.
    public_wait: Option<Duration>,
}

/// The limits of each track. The first limit of a track applies only to this account and this client.
struct LimitSets {
    visible: Vec<Vec<ThrottleLimit>>,
    hidden: Vec<Vec<ThrottleLimit>>,
}

/// Reserves a password attempt for the account with this e-mail address. The account need not exist, and the result
/// does not reveal whether it does, provided that responses to failed attempts come from [`PasswordAttempt::failed`].
/// `device` is the client's device, if it has previously signed in to the account.
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
    let uncounted = |limit| ThrottleLimit { counts: false, ..limit };
    let (network, address) = (client.network(), client.address.to_string());
    let known = state.app.store.known_client(email, &network, &address).await?;

    let account_here = own("account and network", &network);
    let network_wide = limit(&["network", &network], 20, FIFTEEN_MINUTES);
    let account_wide = limit(&["account", email], 20, ONE_MINUTE);
    let device = device.map(|device| vec![own("account and device", &device.id())]);
    let general = vec![account_here, network_wide, account_wide];

    let mut hidden = Vec::new();
    if known.network {
        let own = own("account and known network", &network);
        hidden.push(vec![own, uncounted(account_here), uncounted(network_wide)]);
    }
    if known.address {
        hidden.push(vec![own("account and address", &address)]);
    }
    Ok(LimitSets { visible: device.into_iter().chain([general]).collect(), hidden })
}

impl PasswordAttempt {
    /// Records the success by deleting this attempt and the client's earlier failures for the account.
    pub(crate) async fn succeeded(self, state: &AppState) -> ApiResult<()> {
        Ok(state.app.store.sign_in_succeeded(&self.reserved, self.own).await?)
    }

    /// Returns the error for the response: `error`, or, on a hidden track, the error any other client would receive.
    pub(crate) fn failed(self, error: ApiError) -> ApiError {
        self.public_wait.map_or(error, too_many_attempts)
    }
}

/// Returns the digest of a list of names. Each name is preceded by its length, so different lists have different
/// digests.
fn subject(names: &[&str]) -> Sha256 {
    let text: String = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    Sha256::of(text.as_bytes())
}

//! Limits the number of event streams that a client or an account can have open. Each stream occupies a connection and
//! queries the database for its whole lifetime.

use crate::layers::concurrency::{ConcurrencyLimit, ConcurrencyPermit};
use crate::settings::OpenLimits;
use diagflow_store::UserId;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct StreamPermits(Arc<Limits>);

struct Limits {
    clients: ConcurrencyLimit<IpAddr>,
    accounts: ConcurrencyLimit<UserId>,
}

/// An open stream, which counts towards the limits until it is dropped.
#[must_use]
pub(crate) struct StreamPermit {
    _client: ConcurrencyPermit<IpAddr>,
    account: Option<ConcurrencyPermit<UserId>>,
    permits: StreamPermits,
}

impl StreamPermits {
    pub(crate) fn new(limits: &OpenLimits) -> Self {
        Self(Arc::new(Limits {
            clients: ConcurrencyLimit::new(limits.streams_per_client),
            accounts: ConcurrencyLimit::new(limits.streams_per_account),
        }))
    }

    /// Returns `None` if the client has too many streams. `client` is
    /// [`crate::extract::client_info::ClientInfo::key`].
    pub(crate) fn open(&self, client: IpAddr) -> Option<StreamPermit> {
        let client = self.0.clients.acquire(client)?;
        Some(StreamPermit { _client: client, account: None, permits: self.clone() })
    }
}

impl StreamPermit {
    /// Counts the stream towards its account's limit, if it has an account. Returns `None` if the account has too many
    /// streams.
    pub(crate) fn for_account(mut self, account: Option<UserId>) -> Option<Self> {
        if let Some(account) = account {
            self.account = Some(self.permits.0.accounts.acquire(account)?);
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_counts_towards_the_limits_of_its_client_and_account() {
        let permits = StreamPermits::new(&OpenLimits {
            connections_per_client: 1,
            streams_per_client: 2,
            streams_per_account: 1,
        });
        let client = |number: u8| IpAddr::from([192, 0, 2, number]);
        let (ana, ben) = (Some(UserId::new()), Some(UserId::new()));
        let open = |number, account| permits.open(client(number))?.for_account(account);
        let first = open(1, ana);
        assert!(first.is_some());
        assert!(open(2, ana).is_none(), "the account already has a stream");
        let second = open(1, ben);
        assert!(second.is_some());
        assert!(open(1, None).is_none(), "the client has two streams");
        assert!(open(2, None).is_some(), "another client");
        drop((first, second));
        assert!(open(1, ana).is_some(), "both permits are available again");
    }
}

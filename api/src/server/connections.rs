//! Decides which connections are accepted. Each client may open a limited number of connections. The last free
//! connections of the process are reserved for health checks and metrics, so operators can still observe an overloaded
//! process. Each client may open only a few of the reserved connections.

use crate::extract::client_info::client_key;
use crate::layers::concurrency::{ConcurrencyLimit, ConcurrencyPermit};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// Maximum number of open connections. Further connections wait in the operating system's queue.
    pub(super) total: usize,
    /// Number of these connections that are reserved for health checks and metrics.
    pub(super) reserved: usize,
    pub(super) per_client: usize,
}

/// Each connection uses about 20 kB of memory and a file descriptor.
const MAX_CONNECTIONS: usize = 10_000;
/// Health checks take milliseconds, so a few connections are enough even for many probes.
const MAX_RESERVED: usize = 64;
/// Enough for the concurrent probes of one host.
const MAX_RESERVED_PER_CLIENT: usize = 4;

impl ConnectionLimits {
    /// Leaves half of the file descriptors for files, the database and Temporal, because no request can succeed without
    /// them.
    pub(super) fn new(descriptors: std::io::Result<u64>, per_client: usize) -> Self {
        // If the system's limit is unknown, only our own limit applies.
        let most =
            descriptors.map_or(usize::MAX, |all| usize::try_from(all / 2).unwrap_or(usize::MAX));
        let total = most.min(MAX_CONNECTIONS);
        let reserved = MAX_RESERVED.min(total / 8);
        // If few file descriptors are available, one client must not occupy all connections.
        let per_client = per_client.min((total - reserved) / 2).max(1);
        Self { total, reserved, per_client }
    }
}

pub(super) struct Connections {
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    clients: ConcurrencyLimit<IpAddr>,
    clients_of_reserved: ConcurrencyLimit<IpAddr>,
}

/// An accepted connection, which counts towards the limits until it is dropped.
pub(super) struct AcceptedConnection {
    /// Whether the connection serves only health checks and metrics.
    pub(super) is_reserved: bool,
    _permit: OwnedSemaphorePermit,
    _of_client: Option<ClientPermits>,
}

/// One of the client's connections, and one of its reserved connections if the connection is reserved.
struct ClientPermits {
    _any: ConcurrencyPermit<IpAddr>,
    _reserved: Option<ConcurrencyPermit<IpAddr>>,
}

/// The client already has too many connections.
#[derive(Debug)]
pub(super) struct TooManyConnections;

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            permits: Arc::new(Semaphore::new(limits.total)),
            clients: ConcurrencyLimit::new(limits.per_client),
            clients_of_reserved: ConcurrencyLimit::new(MAX_RESERVED_PER_CLIENT),
        }
    }

    /// Waits until a connection may be accepted.
    pub(super) async fn permit(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Counts a new connection. `client` is `None` for trusted proxies, which connect on behalf of all clients.
    pub(super) fn admit(
        &self,
        permit: OwnedSemaphorePermit,
        client: Option<IpAddr>,
    ) -> Result<AcceptedConnection, TooManyConnections> {
        let is_reserved = self.permits.available_permits() < self.limits.reserved;
        let of_client = match client {
            Some(address) => Some(self.count(client_key(address.to_canonical()), is_reserved)?),
            None => None,
        };
        Ok(AcceptedConnection { is_reserved, _permit: permit, _of_client: of_client })
    }

    fn count(
        &self,
        client: IpAddr,
        is_reserved: bool,
    ) -> Result<ClientPermits, TooManyConnections> {
        let any = self.clients.acquire(client).ok_or(TooManyConnections)?;
        let reserved = match is_reserved {
            true => Some(self.clients_of_reserved.acquire(client).ok_or(TooManyConnections)?),
            false => None,
        };
        Ok(ClientPermits { _any: any, _reserved: reserved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_file_descriptors_are_reserved_for_other_uses() {
        let limits = |descriptors| ConnectionLimits::new(Ok(descriptors), 1);
        assert_eq!((limits(1024).total, limits(1024).reserved), (512, MAX_RESERVED));
        assert_eq!((limits(64).total, limits(64).reserved), (32, 4));
        assert_eq!(limits(1_000_000).total, MAX_CONNECTIONS);
    }

    #[test]
    fn one_client_gets_at_most_half_of_the_connections_that_serve_all_requests() {
        let per_client =
            |descriptors, wanted| ConnectionLimits::new(Ok(descriptors), wanted).per_client;
        assert_eq!(per_client(1_000_000, 256), 256);
        assert_eq!(per_client(256, 256), 56);
        assert_eq!(per_client(2, 256), 1);
    }

    #[tokio::test]
    async fn one_client_gets_few_reserved_connections() {
        let limits = ConnectionLimits { total: 9, reserved: 9, per_client: 9 };
        let connections = Connections::new(limits);
        let admit = async |client: Option<u8>| {
            let client = client.map(|number| [192, 0, 2, number].into());
            connections.admit(connections.permit().await, client)
        };
        let mut open = Vec::new();
        for _ in 0..MAX_RESERVED_PER_CLIENT {
            open.push(admit(Some(1)).await.expect("a permit"));
        }
        assert!(open.iter().all(|connection| connection.is_reserved));
        assert!(admit(Some(1)).await.is_err(), "the client has too many reserved connections");
        let other = admit(Some(2)).await;
        assert!(other.is_ok() && admit(None).await.is_ok());
        open.pop();
        assert!(admit(Some(1)).await.is_ok());
    }

    #[tokio::test]
    async fn addresses_in_the_same_ipv6_network_share_a_connection_limit() {
        let connections =
            Connections::new(ConnectionLimits { total: 9, reserved: 0, per_client: 1 });
        let admit = async |client: Option<&str>| {
            let client = client.map(|text| text.parse().expect("an address"));
            connections.admit(connections.permit().await, client)
        };
        let first = admit(Some("2001:db8:1:2::1")).await;
        assert!(first.is_ok());
        assert!(admit(Some("2001:db8:1:2::2")).await.is_err(), "the same network");
        assert!(admit(Some("2001:db8:1:3::1")).await.is_ok());
        assert!(admit(Some("::ffff:192.0.2.1")).await.is_ok());
        let proxies = (admit(None).await, admit(None).await);
        assert!(proxies.0.is_ok() && proxies.1.is_ok());
        drop(first);
        assert!(admit(Some("2001:db8:1:2::2")).await.is_ok());
    }
}

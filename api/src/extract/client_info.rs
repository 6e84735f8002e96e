//! Identifies the client that sent a request, for rate limits, sessions and the audit log.

use crate::app::AppState;
use crate::openapi::route::Documented;
use crate::proxies::TrustedProxies;
use crate::request_id;
use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use diagflow_store::truncated;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAX_USER_AGENT_CHARS: usize = 255;

/// The remote address of the TCP connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[derive(Debug, Clone)]
pub(crate) struct ClientInfo {
    /// The address from `X-Forwarded-For` if a trusted proxy added it; otherwise, the peer's address.
    pub(crate) address: IpAddr,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
}

impl ClientInfo {
    pub(crate) fn of(
        headers: &HeaderMap,
        extensions: &Extensions,
        proxies: &TrustedProxies,
    ) -> Self {
        let peer =
            extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let user_agent =
            headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            address: proxies.client_address(peer, headers),
            user_agent: truncated(user_agent, MAX_USER_AGENT_CHARS),
            request_id: request_id::current().to_string(),
        }
    }

    /// Returns the key under which this client's requests are counted. See [`client_key`].
    pub(crate) fn key(&self) -> IpAddr {
        client_key(self.address)
    }

    /// Returns the address's network (IPv4 /24 or IPv6 /64), which usually belongs to a single household or company.
    pub(crate) fn network(&self) -> String {
        match self.address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

/// Returns an IPv4 address unchanged. For an IPv6 address, returns its /64 network, which usually belongs to a single
/// household.
pub(crate) fn client_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl FromRequestParts<AppState> for ClientInfo {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let proxies = &state.app.settings.proxies;
        Ok(Self::of(&parts.headers, &parts.extensions, proxies))
    }
}

impl Documented for ClientInfo {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_the_same_ipv6_network_count_as_one_client() {
        let client = |text: &str| client_key(text.parse().expect("an address"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::2"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn a_client_network_is_an_ipv4_slash_24_or_an_ipv6_slash_64() {
        let network = |address: &str| {
            let address = address.parse().expect("an address");
            ClientInfo { address, user_agent: String::new(), request_id: String::new() }.network()
        };
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}

//! The client of a request, for rate limits, sessions and the audit log.

use crate::app::AppState;
use crate::openapi::route::Documented;
use crate::request_id;
use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName};
use diagflow_store::truncated;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Each reverse proxy appends the address of its peer.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const MAX_USER_AGENT_CHARS: usize = 255;

/// The remote address of the TCP connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

#[derive(Debug, Clone)]
pub(crate) struct ClientInfo {
    /// The address from `X-Forwarded-For` if a trusted proxy added it, and otherwise the address of the peer.
    pub(crate) address: IpAddr,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
}

impl ClientInfo {
    /// `trusted_proxies` is the number of our own reverse proxies. Each has appended one address to
    /// `X-Forwarded-For`; earlier addresses come from the client and cannot be trusted.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, trusted_proxies: usize) -> Self {
        let peer =
            extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        // Addresses are counted before they are decoded, so that invalid bytes from the client cannot hide an address
        // that a proxy added.
        let forwarded: Vec<&[u8]> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        let forwarded_address =
            forwarded.len().checked_sub(trusted_proxies).and_then(|at| forwarded.get(at));
        let forwarded_address = forwarded_address.and_then(|text| str::from_utf8(text).ok());
        let address = forwarded_address.and_then(|text| text.trim().parse().ok()).unwrap_or(peer);
        let user_agent =
            headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            address: address.to_canonical(),
            user_agent: truncated(user_agent, MAX_USER_AGENT_CHARS),
            request_id: request_id::current().to_string(),
        }
    }

    /// The key by which requests of clients are counted. See [`client_key`].
    pub(crate) fn key(&self) -> IpAddr {
        client_key(self.address)
    }

    /// The network of the address (IPv4 /24, IPv6 /64), which usually belongs to one household or company.
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

/// An IPv4 address, or the /64 network of an IPv6 address, which usually belongs to one household.
fn client_key(address: IpAddr) -> IpAddr {
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
        let proxies = state.app.settings.trusted_proxies;
        Ok(Self::of(&parts.headers, &parts.extensions, proxies))
    }
}

impl Documented for ClientInfo {}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn address(forwarded: impl AsRef<[u8]>, proxies: usize) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer("10.0.0.9:4000".parse().expect("an address")));
        let value = HeaderValue::from_bytes(forwarded.as_ref()).expect("a header");
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, value)]);
        ClientInfo::of(&headers, &extensions, proxies).address.to_string()
    }

    #[test]
    fn only_addresses_added_by_trusted_proxies_count() {
        assert_eq!(address("1.2.3.4", 0), "10.0.0.9");
        assert_eq!(address("1.2.3.4", 1), "1.2.3.4");
        assert_eq!(address("6.6.6.6, 1.2.3.4", 1), "1.2.3.4");
        assert_eq!(address("6.6.6.6, 1.2.3.4, 10.0.0.1", 2), "1.2.3.4");
        assert_eq!(address("nonsense, 1.2.3.4", 1), "1.2.3.4");
        assert_eq!(address("1.2.3.4, nonsense", 1), "10.0.0.9");
        assert_eq!(address("1.2.3.4", 2), "10.0.0.9", "fewer addresses than trusted proxies");
        assert_eq!(address("::ffff:1.2.3.4", 1), "1.2.3.4");
        assert_eq!(
            address(b"\xe9, 1.2.3.4", 1),
            "1.2.3.4",
            "client bytes do not hide a proxy's address"
        );
        assert_eq!(address(b"1.2.3.4, \xe9", 1), "10.0.0.9");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one_client() {
        let client = |text: &str| client_key(text.parse().expect("an address"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::2"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn networks_are_ipv4_24_and_ipv6_64() {
        let network = |address: &str| {
            let address = address.parse().expect("an address");
            ClientInfo { address, user_agent: String::new(), request_id: String::new() }.network()
        };
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}

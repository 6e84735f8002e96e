//! The reverse proxies in front of the API, and the client address that they report in `X-Forwarded-For`.

use axum::http::{HeaderMap, HeaderName};
use diagflow_store::settings::{convert, within};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

/// Each reverse proxy appends the address of its peer to this header.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Debug, Clone, Deserialize)]
pub struct TrustedProxies {
    /// Number of proxies between a client and the API.
    #[serde(rename = "TRUSTED_PROXIES", deserialize_with = "within::<_, _, 0, 10>")]
    pub count: usize,
    #[serde(rename = "TRUSTED_PROXY_ADDRESSES", deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Returns whether `address` belongs to one of the proxies.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.count > 0 && self.networks.iter().any(|network| network.contains(&address))
    }

    /// Returns the client's address. The last entry in the header was appended by the peer, and each earlier entry by
    /// the proxy named in the entry after it, so an entry is used only if the proxy that appended it is trusted. Any
    /// entries before those come from the client.
    pub(crate) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // The entries are split before they are decoded, so invalid bytes from the client cannot hide an address added
        // by a proxy.
        let entries: Vec<&[u8]> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        if !entries.is_empty() {
            self.warn_if_ignored(peer);
        }
        let mut client = peer.to_canonical();
        for entry in entries.iter().rev().take(self.count) {
            match parse_entry(entry) {
                Some(address) if self.contain(client) => client = address,
                _ => break,
            }
        }
        client
    }

    /// Warns about a likely configuration mistake. Each warning is logged only once per process, because any client can
    /// send the header.
    fn warn_if_ignored(&self, peer: IpAddr) {
        static NO_PROXY: Once = Once::new();
        static UNKNOWN_PROXY: Once = Once::new();
        if self.count == 0 {
            NO_PROXY.call_once(|| {
                tracing::warn!("X-Forwarded-For is ignored because TRUSTED_PROXIES is 0");
            });
        } else if !self.contain(peer) {
            UNKNOWN_PROXY.call_once(|| {
                tracing::warn!(
                    "X-Forwarded-For is ignored because its sender is not in TRUSTED_PROXY_ADDRESSES"
                );
            });
        }
    }

    #[cfg(test)]
    pub(crate) fn new(count: usize, networks: &str) -> Self {
        let networks = networks.split(',').map(|text| parse_network(text).expect("a network"));
        Self { count, networks: networks.collect() }
    }
}

/// Parses an address with or without a port. An IPv6 address must be in brackets if it has a port, and may be in
/// brackets otherwise.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim();
    let without_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = without_brackets.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    convert(deserializer, |text| text.split(',').map(parse_network).collect())
}

fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client_of(peer: &str, forwarded: impl AsRef<[u8]>, proxies: usize) -> String {
        let value = HeaderValue::from_bytes(forwarded.as_ref()).expect("a header");
        let headers = HeaderMap::from_iter([(FORWARDED_FOR, value)]);
        let proxies = TrustedProxies::new(proxies, "10.0.0.0/24, fd00::/8, 198.51.100.7");
        proxies.client_address(peer.parse().expect("an address"), &headers).to_string()
    }

    fn client(forwarded: impl AsRef<[u8]>, proxies: usize) -> String {
        client_of("10.0.0.9", forwarded, proxies)
    }

    #[test]
    fn only_addresses_added_by_trusted_proxies_are_used() {
        assert_eq!(client("1.2.3.4", 0), "10.0.0.9");
        assert_eq!(client("1.2.3.4", 1), "1.2.3.4");
        assert_eq!(client("6.6.6.6, 1.2.3.4", 1), "1.2.3.4");
        assert_eq!(client("6.6.6.6, 1.2.3.4, 10.0.0.1", 2), "1.2.3.4");
        assert_eq!(client("6.6.6.6, 10.0.0.1", 1), "10.0.0.1", "a client in the same network");
        assert_eq!(client("nonsense, 1.2.3.4", 1), "1.2.3.4");
        assert_eq!(client("1.2.3.4, nonsense", 1), "10.0.0.9");
        assert_eq!(client("::ffff:1.2.3.4", 1), "1.2.3.4");
        assert_eq!(
            client(b"\xe9, 1.2.3.4", 1),
            "1.2.3.4",
            "invalid bytes from the client do not hide an address added by a proxy"
        );
        assert_eq!(client(b"1.2.3.4, \xe9", 1), "10.0.0.9");
    }

    #[test]
    fn the_header_is_ignored_unless_the_peer_is_a_trusted_proxy() {
        assert_eq!(client_of("203.0.113.9", "1.2.3.4", 1), "203.0.113.9");
        assert_eq!(client_of("198.51.100.7", "1.2.3.4", 1), "1.2.3.4");
        assert_eq!(client_of("::ffff:10.0.0.9", "1.2.3.4", 1), "1.2.3.4");
        assert_eq!(client_of("fd00::1", "1.2.3.4", 1), "1.2.3.4");
        // A client that bypasses the outer proxy cannot forge its address.
        assert_eq!(client("6.6.6.6, 1.2.3.4", 2), "1.2.3.4");
        assert_eq!(client("1.2.3.4", 2), "1.2.3.4");
    }

    #[test]
    fn entries_may_have_ports_and_brackets() {
        for (entry, expected) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[::ffff:1.2.3.4]:443", "1.2.3.4"),
            ("[2001:db8::1", "10.0.0.9"),
            ("1.2.3.4:port", "10.0.0.9"),
        ] {
            assert_eq!(client(entry, 1), expected, "{entry}");
        }
        assert_eq!(client("1.2.3.4:5678, [fd00::2]:443", 2), "1.2.3.4");
    }
}

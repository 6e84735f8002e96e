//! Finds free ports for processes that will bind them later.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use uuid::Uuid;

/// Address of a port that no process listens on.
pub const NOWHERE: &str = "127.0.0.1:1";

const MOST: u16 = 10_000;
/// The first port that does not require privileges.
const FIRST: u16 = 1024;

/// Returns the ports below the ephemeral range. An outgoing connection could take an ephemeral port before the server
/// binds it (see also `xtask/src/ports.rs`).
fn below_outgoing() -> Range<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let end: u16 = first.unwrap_or(30_000).min(30_000);
    end.saturating_sub(MOST).max(FIRST)..end
}

/// Returns a free port that no other test in this process is given.
pub fn free_port() -> u16 {
    // The search starts at a random port so that parallel test binaries rarely choose the same one.
    static NEXT: OnceLock<(Range<u16>, AtomicU16)> = OnceLock::new();
    let (range, next) =
        NEXT.get_or_init(|| (below_outgoing(), AtomicU16::new(Uuid::new_v4().as_fields().1)));
    let count = u16::try_from(range.len()).expect("ports");
    let mut candidates =
        (0..count).map(|_| range.start + next.fetch_add(1, Ordering::Relaxed) % count);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    candidates.find(is_free).expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_allocated_port_is_not_taken_by_connections_or_other_tests() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.expect("the range of outgoing connections");
        let first = range.split_whitespace().next().expect("the first port");
        let outgoing: u16 = first.parse().expect("a number");

        let ports: BTreeSet<u16> = (0..500).map(|_| free_port()).collect();

        assert_eq!(ports.len(), 500, "all ports are different");
        assert!(ports.iter().all(|port| (1024..outgoing).contains(port)), "{ports:?}");
    }
}

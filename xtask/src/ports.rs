//! Determines the system's ports, and reports the process that is using a port.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

#[derive(Args, Default)]
#[command(next_help_heading = "Ports")]
pub(crate) struct PortOptions {
    /// Pages and HTTP API [default: 8080]
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Worker health checks and metrics [default: 8081]
    #[arg(long, value_name = "PORT")]
    worker_port: Option<u16>,
    /// Temporal gRPC API [default: 7233]
    #[arg(long, value_name = "PORT")]
    temporal_port: Option<u16>,
    /// Temporal UI [default: 8233]
    #[arg(long, value_name = "PORT")]
    temporal_ui_port: Option<u16>,
    /// Mail catcher web inbox [default: 8025]
    #[arg(long, value_name = "PORT")]
    inbox_port: Option<u16>,
    /// Mail catcher SMTP [default: 1025]
    #[arg(long, value_name = "PORT")]
    smtp_port: Option<u16>,
    /// LoopAI simulator [default: 5050]
    #[arg(long, value_name = "PORT")]
    simulator_port: Option<u16>,
    /// MariaDB [default: 3307]
    #[arg(long, value_name = "PORT")]
    mariadb_port: Option<u16>,
    /// Offset to add to every port that is not set by its own flag
    #[arg(long, value_name = "N", default_value_t = 0)]
    port_offset: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) api: u16,
    pub(crate) worker: u16,
    pub(crate) temporal: u16,
    pub(crate) temporal_ui: u16,
    pub(crate) inbox: u16,
    pub(crate) smtp: u16,
    pub(crate) simulator: u16,
    pub(crate) mariadb: u16,
}

impl PortOptions {
    /// Returns the configured ports if all of them are free. Otherwise, the error lists each port in use and how to
    /// resolve the conflict.
    pub(crate) fn resolve_free(&self) -> Result<Ports> {
        let ports = self.resolve(self.port_offset)?;
        let problems = ports.problems();
        if problems.is_empty() {
            return Ok(ports);
        }
        let problems = problems.join("\n  ");
        let mut message =
            format!("these ports are not free, so nothing was started:\n  {problems}");
        if let Some(offset) = self.free_offset() {
            message.push_str(&format!("\n  or move all ports at once: --port-offset {offset}"));
        }
        bail!(message)
    }

    /// Returns the configured ports, shifted by this offset.
    pub(crate) fn resolve(&self, offset: u16) -> Result<Ports> {
        let choose = |flag: Option<u16>, default: u16| match flag {
            Some(port) => Ok(port),
            None => default.checked_add(offset).with_context(|| {
                format!(
                    "--port-offset {offset} moves port {default} above 65535; use a smaller offset"
                )
            }),
        };
        let ports = Ports {
            api: choose(self.api_port, 8080)?,
            worker: choose(self.worker_port, 8081)?,
            temporal: choose(self.temporal_port, 7233)?,
            temporal_ui: choose(self.temporal_ui_port, 8233)?,
            inbox: choose(self.inbox_port, 8025)?,
            smtp: choose(self.smtp_port, 1025)?,
            simulator: choose(self.simulator_port, 5050)?,
            mariadb: choose(self.mariadb_port, 3307)?,
        };
        ports.expect_distinct()?;
        Ok(ports)
    }

    /// Finds an offset at which all ports are free. The default ports are avoided even if they are free because another
    /// system may still be starting its servers or may be started again later. For example, an offset of 1000 would
    /// move Temporal to the Temporal UI's default port.
    pub(crate) fn free_offset(&self) -> Option<u16> {
        // An ephemeral port may be free now and in use later. Such ports are suggested only if there are no others.
        self.free_offset_outside(ephemeral_ports()).or_else(|| self.free_offset_outside(None))
    }

    fn free_offset_outside(&self, ephemeral: Option<RangeInclusive<u16>>) -> Option<u16> {
        let defaults = PortOptions::default().resolve(0).ok()?.list().map(|(_, _, port)| port);
        let unmoved = self.resolve(0).ok()?.list();
        let works = |ports: &Ports| {
            let is_ephemeral =
                |port: &u16| ephemeral.as_ref().is_some_and(|range| range.contains(port));
            let mut moved = ports.list().into_iter().filter(|service| !unmoved.contains(service));
            moved.all(|(_, _, port)| !defaults.contains(&port) && !is_ephemeral(&port))
                && ports.problems().is_empty()
        };
        // With these offsets, all default ports stay below the ports used by tests (`find_free`).
        let mut offsets = (1..=110).map(|hundreds| hundreds * 100);
        offsets.find(|offset| self.resolve(*offset).is_ok_and(|ports| works(&ports)))
    }
}

impl Ports {
    fn list(&self) -> [(&'static str, &'static str, u16); 8] {
        [
            ("the API", "--api-port", self.api),
            ("the worker", "--worker-port", self.worker),
            ("Temporal", "--temporal-port", self.temporal),
            ("the Temporal UI", "--temporal-ui-port", self.temporal_ui),
            ("the inbox", "--inbox-port", self.inbox),
            ("SMTP", "--smtp-port", self.smtp),
            ("the simulator", "--simulator-port", self.simulator),
            ("MariaDB", "--mariadb-port", self.mariadb),
        ]
    }

    fn expect_distinct(&self) -> Result<()> {
        let mut seen = HashMap::new();
        for (service, flag, port) in self.list() {
            if port == 0 {
                bail!("{flag} 0 is not a port: use a number between 1 and 65535");
            }
            if let Some(other) = seen.insert(port, service) {
                bail!("port {port} is used for both {other} and {service}: change it with {flag}");
            }
        }
        Ok(())
    }

    /// Describes every unusable port, including the reason and the remedy.
    fn problems(&self) -> Vec<String> {
        let check = |(service, flag, port)| match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let holder = process_on_port(port).map_or_else(
                    || "a process of another user (`sudo ss -ltnp` shows it)".to_owned(),
                    |(id, name)| format!("process {id} ({name})"),
                );
                Some(format!("{port} for {service} is used by {holder}: stop it, or use {flag}"))
            }
            Err(error) => {
                Some(format!("{port} for {service} cannot be opened ({error}): use {flag}"))
            }
        };
        self.list().into_iter().filter_map(check).collect()
    }
}

/// Returns the ports that the kernel may use for outgoing connections.
fn ephemeral_ports() -> Option<RangeInclusive<u16>> {
    parse_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    Some(first.parse().ok()?..=last.trim_start().parse().ok()?)
}

/// Finds `COUNT` free ports, preferably outside the ephemeral range, because an outgoing connection could take an
/// ephemeral port before the server starts.
pub(crate) fn find_free<const COUNT: usize>() -> Result<[u16; COUNT]> {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 10_000;
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
    let start = u16::try_from(nanoseconds % u32::from(SPAN))?;
    let ephemeral = ephemeral_ports();
    let (ephemeral, other): (Vec<u16>, Vec<u16>) = (0..SPAN)
        .map(|step| FIRST + (start + step) % SPAN)
        .partition(|port| ephemeral.as_ref().is_some_and(|range| range.contains(port)));
    let mut free = other
        .into_iter()
        .chain(ephemeral)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let mut ports = [0; COUNT];
    for port in &mut ports {
        *port = free.next().context("no free port found")?;
    }
    Ok(ports)
}

/// Returns the id and name of the process listening on `port`, or `None` if this user is not permitted to see it.
fn process_on_port(port: u16) -> Option<(u32, String)> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_socket(&table, port))?;
    let target = format!("socket:[{socket}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(id) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Other users' processes are skipped because their open files cannot be read.
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == target.as_str())
        }) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((id, name.trim().to_owned()));
        }
    }
    None
}

/// Looks up the inode of the socket listening on `port` in the kernel's socket table.
fn listening_socket(table: &str, port: u16) -> Option<u64> {
    const LISTENING: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let matches =
            u16::from_str_radix(local_port, 16) == Ok(port) && *fields.get(3)? == LISTENING;
        matches.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually::eventually;

    #[test]
    fn the_offset_applies_to_every_port_without_its_own_flag() -> Result<()> {
        let ports = PortOptions { api_port: Some(80), ..PortOptions::default() }.resolve(1000)?;
        assert_eq!((ports.api, ports.worker, ports.mariadb), (80, 9081, 4307));
        Ok(())
    }

    #[test]
    fn invalid_ports_are_rejected_with_the_flag_to_change() {
        let message = |options: PortOptions, offset| {
            options.resolve(offset).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let same = message(PortOptions { api_port: Some(8081), ..PortOptions::default() }, 0);
        assert_eq!(
            same,
            "port 8081 is used for both the API and the worker: change it with --worker-port"
        );
        let beyond = message(PortOptions::default(), 60_000);
        assert!(beyond.contains("above 65535"), "{beyond}");
        let zero = message(PortOptions { smtp_port: Some(0), ..PortOptions::default() }, 0);
        assert!(zero.starts_with("--smtp-port 0"), "{zero}");
    }

    #[test]
    fn a_port_in_use_is_reported_with_its_process_and_flag() -> Result<()> {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = taken.local_addr()?.port();
        let [a, b, c, d, e, f, g] = find_free()?;
        let ports = Ports {
            api: port,
            worker: a,
            temporal: b,
            temporal_ui: c,
            inbox: d,
            smtp: e,
            simulator: f,
            mariadb: g,
        };

        let problems = eventually(|| Some(ports.problems()).filter(|problems| problems.len() == 1));
        let problems = problems.context("exactly one port is in use")?;
        let holder = format!("{port} for the API is used by process {} (", std::process::id());
        assert!(problems[0].starts_with(&holder), "{problems:?}");
        assert!(problems[0].ends_with("use --api-port"), "{problems:?}");
        drop(taken);
        eventually(|| ports.problems().is_empty().then_some(()))
            .context("a port is still in use")?;
        Ok(())
    }

    #[test]
    fn the_suggested_offset_avoids_ports_in_use_and_the_default_ports() -> Result<()> {
        let options = PortOptions::default();
        let defaults = options.resolve(0)?.list().map(|(_, _, port)| port);
        for service in 0..defaults.len() {
            let offset = options.free_offset().context("no offset found")?;
            let ports = options.resolve(offset)?.list();
            assert!(ports.iter().all(|(_, _, port)| !defaults.contains(port)), "{offset}");
            // Once any of these ports is taken, the offset is not suggested again.
            let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[service].2))?;
            assert_ne!(options.free_offset(), Some(offset), "{:?} is taken", ports[service]);
        }
        Ok(())
    }

    #[test]
    fn the_suggested_offset_avoids_ephemeral_ports() -> Result<()> {
        let options = PortOptions::default();
        let offset = options.free_offset_outside(Some(1024..=9000)).context("no offset found")?;
        let ports = options.resolve(offset)?.list();
        assert!(ports.iter().all(|(_, _, port)| *port > 9000), "{offset}");
        assert_eq!(options.free_offset_outside(Some(1024..=u16::MAX)), None);
        assert!(options.free_offset().is_some());
        Ok(())
    }

    #[test]
    fn the_ephemeral_range_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_range("unknown"), None);
        assert!(ephemeral_ports().is_some());
    }

    #[test]
    fn only_listening_sockets_are_found() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1";
        assert_eq!(listening_socket(table, 8080), Some(222));
        assert_eq!(listening_socket(table, 8081), None);
    }
}

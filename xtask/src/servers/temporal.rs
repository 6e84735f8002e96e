//! Starts Temporal's development server, which stores its data in a single file.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::SystemFolder;
use crate::process::{Server, Servers};
use crate::progress::Step;
use crate::{guard, http};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) grpc: u16,
    /// Port of the UI. `None` starts the server without the UI.
    pub(crate) ui: Option<u16>,
}

/// Starts the server and waits until it serves the namespace `default` and its UI.
pub(crate) fn start(
    servers: &mut Servers,
    program: &Path,
    home: &SystemFolder,
    addresses: Addresses,
) -> Result<()> {
    let step = Step::begin("start Temporal");
    let mut command = guard::command(program);
    command
        .args(["server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"])
        .arg("--port")
        .arg(addresses.grpc.to_string())
        .arg("--db-filename")
        .arg(home.data("temporal").join("temporal.db"));
    match addresses.ui {
        Some(port) => command.arg("--ui-port").arg(port.to_string()),
        None => command.arg("--headless"),
    };
    remove_temporal_variables(&mut command);
    let server =
        servers.add(Server::start("Temporal server", command, home.log("temporal"), STOP_TIMEOUT)?);
    server.await_ready(READY_TIMEOUT, || {
        if let Some(port) = addresses.ui {
            http::expect_success(port, "/")?;
        }
        expect_namespace(program, addresses.grpc)
    })?;
    step.done(match addresses.ui {
        Some(port) => {
            format!("Temporal is ready on port {}, and its UI on port {port}", addresses.grpc)
        }
        None => format!("Temporal is ready on port {}", addresses.grpc),
    });
    Ok(())
}

fn expect_namespace(program: &Path, port: u16) -> Result<()> {
    // This check is cheap and fails until the server is listening, so the slower command usually runs only once.
    std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port))?;
    let mut command = guard::command(program);
    command
        .args(["operator", "namespace", "describe", "--namespace", "default", "--address"])
        .arg(format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    remove_temporal_variables(&mut command);
    ensure!(command.status()?.success(), "the namespace `default` is not ready");
    Ok(())
}

/// Removes environment variables that could point the `temporal` command at another server.
fn remove_temporal_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TEMPORAL_") {
            command.env_remove(name);
        }
    }
}

//! `cargo xtask up` runs the whole system on this machine until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::ports::{PortOptions, Ports};
use crate::process::Servers;
use crate::servers::{self, Accounts, Diagflow, STAFF_EMAIL, SystemFolder, TemporalAddresses};
use crate::workspace::{self, Lock, Workspace};
use crate::{cargo, install, interrupt, progress};

/// The file in the data folder that contains the password of the staff account.
const STAFF_PASSWORD: &str = "staff-password";

#[derive(Args)]
pub(crate) struct Options {
    /// Build and run with optimizations
    #[arg(long)]
    release: bool,
    /// Folder for data and logs. A second system needs a separate folder [default: .diagflow]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Run this `diagflow` binary instead of building one
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    product: Option<PathBuf>,
    #[command(flatten)]
    ports: PortOptions,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    let home = home(&workspace, options)?;
    let _lock = acquire_lock(&home, &options.ports)?;
    let ports = options.ports.resolve_free()?;

    let shown = workspace.relative(home.folder());
    let mut servers = Servers::default();
    let outcome = start(&workspace, options, &home, ports, &mut servers).and_then(|()| {
        print_addresses(&shown, ports, started.elapsed());
        watch(&mut servers)
    });
    finish(outcome, servers, &shown)
}

fn home(workspace: &Workspace, options: &Options) -> Result<SystemFolder> {
    let folder = match &options.data {
        None => workspace.state(),
        Some(folder) => std::path::absolute(folder)
            .with_context(|| format!("--data {} is not a folder", folder.display()))?,
    };
    workspace::create_private_dir(&folder)?;
    SystemFolder::open(folder)
}

fn finish(outcome: Result<()>, mut servers: Servers, data: &str) -> Result<ExitCode> {
    match outcome {
        Ok(()) => {
            progress::print("");
            servers.stop_all()?;
            progress::print(format!(
                "Everything stopped. The next `cargo xtask up` uses the data in {data}/ again."
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if servers.is_empty() => Err(error),
        // An interrupt has the same outcome before, during and after server startup.
        Err(error) if error.is::<interrupt::Interrupted>() => {
            progress::print("");
            servers.stop_all()?;
            Err(error)
        }
        Err(error) => {
            // The error is printed before stopping the servers because stopping them takes a while.
            progress::print_error(&error);
            progress::print("");
            servers.stop_all()?;
            progress::print("Everything stopped.");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Acquires the lock on a data folder, which only one system may use at a time.
fn acquire_lock(home: &SystemFolder, ports: &PortOptions) -> Result<Lock> {
    let path = home.folder().join("up.lock");
    if let Some(lock) = Lock::try_acquire(&path)? {
        return Ok(lock);
    }
    let holder = Lock::holder(&path).map_or_else(String::new, |id| format!(" (process {id})"));
    let offset = ports.free_offset().map_or_else(|| "N".to_owned(), |offset| offset.to_string());
    bail!(
        "`cargo xtask up` is already using this data folder{holder}; stop it, or start a second system with \
         --data FOLDER --port-offset {offset}"
    )
}

fn start(
    workspace: &Workspace,
    options: &Options,
    home: &SystemFolder,
    ports: Ports,
    servers: &mut Servers,
) -> Result<()> {
    let tools = install::find_or_install(workspace)?;
    let product = product(workspace, options)?;
    let password = workspace::read_or_create_secret(&home.folder().join("mariadb-password"))?;
    let diagflow = Diagflow::new(product, home, ports, &password)?;
    // Servers are stopped in reverse order so that those that store data stop last.
    let accounts = Accounts::Product { password: &password };
    servers::start_mariadb(servers, &tools.mariadb, home, ports.mariadb, &accounts)?;
    let temporal = TemporalAddresses { grpc: ports.temporal, ui: Some(ports.temporal_ui) };
    servers::start_temporal(servers, &tools.temporal, home, temporal)?;
    diagflow.migrate()?;
    let staff_password = home.folder().join(STAFF_PASSWORD);
    workspace::read_or_create_secret(&staff_password)?;
    diagflow.create_staff_account(&staff_password)?;
    diagflow.start_mail_catcher(servers)?;
    diagflow.start_simulator(servers)?;
    diagflow.start_worker(servers)?;
    diagflow.start_api(servers)
}

fn product(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    if let Some(product) = &options.product {
        return std::path::absolute(product)
            .with_context(|| format!("--product {} is not a file", product.display()));
    }
    let mut build = vec!["build", "--package", "diagflow-cli"];
    if options.release {
        build.push("--release");
    }
    cargo::run(workspace, &build, &[])?;
    cargo::product(options.release)
}

fn watch(servers: &mut Servers) -> Result<()> {
    while !interrupt::requested() {
        servers.expect_alive()?;
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn print_addresses(data: &str, ports: Ports, took: Duration) {
    let page = |port: u16| format!("http://127.0.0.1:{port}");
    let rows = [
        ("Start page", page(ports.api)),
        ("Staff console", format!("{}/admin", page(ports.api))),
        ("Staff sign-in", format!("{STAFF_EMAIL}, password in {data}/{STAFF_PASSWORD}")),
        ("API reference", format!("{}/docs", page(ports.api))),
        ("Inbox", page(ports.inbox)),
        ("Temporal UI", page(ports.temporal_ui)),
        ("LoopAI simulator", page(ports.simulator)),
        ("Worker", format!("{}/metrics", page(ports.worker))),
        ("Temporal (gRPC)", format!("127.0.0.1:{}", ports.temporal)),
        ("SMTP", format!("127.0.0.1:{}", ports.smtp)),
        (
            "MariaDB",
            format!(
                "127.0.0.1:{}, user diagflow, password in {data}/mariadb-password",
                ports.mariadb
            ),
        ),
        ("Logs", format!("{data}/logs/")),
    ];
    progress::print(format!(
        "\n{} after {:.0} s\n",
        console::style("Diagflow is up").bold(),
        took.as_secs_f64()
    ));
    for (name, address) in rows {
        progress::print(format!("  {name:<18} {address}"));
    }
    progress::print("\nCtrl-C stops everything. The data is kept.");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::Server;

    #[test]
    fn an_interrupt_returns_the_same_error_whether_or_not_servers_are_running() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let log = folder.path().join("sleep.log");
        let mut running = Servers::default();
        running.add(Server::start("sleeper", sleep, log, Duration::from_secs(30))?);

        for servers in [Servers::default(), running] {
            let outcome = finish(Err(interrupt::Interrupted.into()), servers, "data");
            assert!(outcome.is_err_and(|error| error.is::<interrupt::Interrupted>()));
        }
        Ok(())
    }
}

//! `cargo xtask up`: the whole system on this machine, until Ctrl-C.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::folders::{self, Lock, Workspace};
use crate::ports::{PortOptions, Ports};
use crate::process::Servers;
use crate::servers::{self, Accounts, Diagflow, Home, TemporalAddresses};
use crate::{cargo, install, interrupt, steps};

/// What `cargo xtask up` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Build and run with optimisation
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    ports: PortOptions,
}

/// Starts everything, waits, and stops everything in order, whatever happened in between.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    interrupt::listen()?;
    let workspace = Workspace::open()?;
    let _lock = take_lock(&workspace)?;
    let ports = options.ports.resolve_free()?;

    let mut servers = Servers::default();
    let outcome = start(&workspace, options, ports, &mut servers).and_then(|()| {
        print_addresses(&workspace, ports, started.elapsed());
        watch(&mut servers)
    });
    finish(outcome, servers)
}

/// Stops what was started, and tells how it went.
fn finish(outcome: Result<()>, mut servers: Servers) -> Result<ExitCode> {
    match outcome {
        Ok(()) => {
            steps::say("");
            servers.stop_all()?;
            steps::say(
                "Everything stopped. The data stays in .diagflow/ for the next `cargo xtask up`.",
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if servers.is_empty() => Err(error),
        // Asked to stop before everything had started: the same outcome, however much had.
        Err(error) if error.is::<interrupt::Interrupted>() => {
            steps::say("");
            servers.stop_all()?;
            Err(error)
        }
        Err(error) => {
            // Before the stopping, which takes a while: the reason is what a person waits for.
            steps::complain(&error);
            steps::say("");
            servers.stop_all()?;
            steps::say("Everything was stopped.");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// One running system per checkout: a second one would use the same data.
fn take_lock(workspace: &Workspace) -> Result<Lock> {
    let path = workspace.state().join("up.lock");
    if let Some(lock) = Lock::try_take(&path)? {
        return Ok(lock);
    }
    match Lock::holder(&path) {
        Some(holder) => {
            bail!("`cargo xtask up` runs already in this checkout, as process {holder}")
        }
        None => bail!("`cargo xtask up` runs already in this checkout"),
    }
}

fn start(
    workspace: &Workspace,
    options: &Options,
    ports: Ports,
    servers: &mut Servers,
) -> Result<()> {
    let tools = install::find_or_install(workspace)?;
    let mut build = vec!["build", "--package", "diagflow-cli"];
    if options.release {
        build.push("--release");
    }
    cargo::run(workspace, &build, &[])?;

    let home = Home::open(workspace.state())?;
    let password = folders::secret(&home.folder().join("mariadb-password"))?;
    let diagflow = Diagflow::new(cargo::product(options.release)?, &home, ports, &password)?;
    // Stopped in the opposite order: first who takes work in, last what keeps it.
    let accounts = Accounts::Product { password: &password };
    servers::start_mariadb(servers, &tools.mariadb, &home, ports.mariadb, &accounts)?;
    let temporal = TemporalAddresses { grpc: ports.temporal, ui: Some(ports.temporal_ui) };
    servers::start_temporal(servers, &tools.temporal, &home, temporal)?;
    diagflow.migrate()?;
    diagflow.start_mail_catcher(servers)?;
    diagflow.start_simulator(servers)?;
    diagflow.start_worker(servers)?;
    diagflow.start_api(servers)
}

/// Waits for Ctrl-C, or for a server that ends by itself.
fn watch(servers: &mut Servers) -> Result<()> {
    while !interrupt::requested() {
        servers.expect_alive()?;
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn print_addresses(workspace: &Workspace, ports: Ports, took: Duration) {
    let page = |port: u16| format!("http://127.0.0.1:{port}");
    let state = workspace.shorten(&workspace.state());
    let rows = [
        ("API", page(ports.api)),
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
                "127.0.0.1:{}, user diagflow, password in {state}/mariadb-password",
                ports.mariadb
            ),
        ),
        ("Logs", format!("{state}/logs/")),
    ];
    steps::say(format!("\n{} after {:.0} s\n", steps::bold("Diagflow is up"), took.as_secs_f64()));
    for (name, address) in rows {
        steps::say(format!("  {name:<18} {address}"));
    }
    steps::say("\nCtrl-C stops everything; the data stays.");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::Server;

    #[test]
    fn a_request_to_stop_has_one_outcome_whether_a_server_runs_or_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let log = folder.path().join("sleep.log");
        let mut running = Servers::default();
        running.add(Server::start("sleeper", sleep, log, Duration::from_secs(30))?);

        for servers in [Servers::default(), running] {
            let outcome = finish(Err(interrupt::Interrupted.into()), servers);
            assert!(outcome.is_err_and(|error| error.is::<interrupt::Interrupted>()));
        }
        Ok(())
    }
}

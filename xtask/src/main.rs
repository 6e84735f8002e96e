//! `cargo xtask`: runs and tests the whole system on this machine.
//!
//! `up`, `test`, `faults`, `clients` and `record` have one file each. They share the tools (`install`), the servers (`servers`,
//! `test_servers`), child processes (`process`, `guard`), ports and output (`progress`).

mod cargo;
mod checks;
mod clients;
#[cfg(test)]
mod eventually;
mod faults;
mod guard;
mod http;
mod install;
mod interrupt;
mod ports;
mod process;
mod progress;
mod record;
mod servers;
mod test;
mod test_count;
mod test_servers;
mod up;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run and test the whole system on this machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything: database, Temporal, simulators, worker and API; stop with Ctrl-C
    Up(up::Options),
    /// Run all checks and all tests with their own servers, even while `up` is running
    Test(test::Options),
    /// Run the fault table: inject each fault and check that the guarantees hold
    Faults(faults::Options),
    /// Check the API with generated clients and SSE libraries (downloads packages; see tests/clients/README.md)
    Clients,
    /// Record new histories for the replay tests, with their own servers
    Record,
    /// Start a program that dies with its parent (used for all child processes)
    #[command(name = guard::COMMAND, hide = true)]
    Guard {
        parent: u32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Clients => clients::run(),
        Command::Record => record::run(),
        Command::Guard { parent, command } => guard::become_child(parent, &command),
    };
    outcome.unwrap_or_else(|error| {
        if error.is::<interrupt::Interrupted>() {
            progress::print("Stopped.");
            return ExitCode::from(130); // as shells do after Ctrl-C
        }
        progress::print_error(&error);
        ExitCode::FAILURE
    })
}

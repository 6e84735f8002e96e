//! `cargo xtask` runs and tests the whole system on this machine.
//!
//! The commands `up`, `test`, `faults`, `clients` and `record` each have their own module. The other modules contain
//! shared code for tools, servers, child processes, ports and output.

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
    /// Run the database, Temporal, the simulators, a worker and the API until Ctrl-C
    Up(up::Options),
    /// Run all checks and tests on separate servers. This works even while `up` is running
    Test(test::Options),
    /// Run the fault table, which injects faults and checks that the guarantees hold
    Faults(faults::Options),
    /// Check the API with generated clients and SSE libraries, which are downloaded as needed (see
    /// tests/clients/README.md)
    Clients,
    /// Record new workflow histories for the replay tests
    Record,
    /// Start a program that is killed when its parent process ends
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
            return ExitCode::from(130); // the exit code of shells after Ctrl-C
        }
        progress::print_error(&error);
        ExitCode::FAILURE
    })
}

//! `cargo xtask`: brings the whole system up on this machine, and tests it.
//!
//! Only the command line lives here. `up`, `test`, `faults` and `record` tell their stories in files of their own; what
//! they share is split by concern: tools (`install`), servers (all of `up`, or those of a `trial`), processes,
//! ports, and what a person sees (`steps`).

mod cargo;
mod checks;
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

/// Brings the whole system up on this machine, and tests it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything: database, Temporal, simulator, mail catcher, worker and API; Ctrl-C stops it.
    Up(up::Options),
    /// Check the code and run every test against servers of its own, beside a running `up`.
    Test(test::Options),
    /// Play the fault table: inject each fault for real, and check what must hold after it.
    Faults(faults::Options),
    /// Record the histories that the replay tests replay, with servers of its own.
    Record,
    /// Become another program that dies with its parent (used for every child process).
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
        Command::Record => record::run(),
        Command::Guard { parent, command } => guard::become_child(parent, &command),
    };
    outcome.unwrap_or_else(|error| {
        if error.is::<interrupt::Interrupted>() {
            progress::print("Stopped.");
            // What a shell reports for a program that ended by Ctrl-C.
            return ExitCode::from(130);
        }
        progress::print_error(&error);
        ExitCode::FAILURE
    })
}

//! `cargo xtask faults`: the fault table, against servers of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{install, test_servers};

/// What `cargo xtask faults` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Rows to play, by number; without any, all of them
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Instead of the table, mix patients, staff and faults for so many minutes
    #[arg(long, value_name = "MINUTES", conflicts_with = "rows")]
    soak: Option<u64>,
    /// What decides on the mixture; without one, it is chosen and told
    #[arg(long, value_name = "N", requires = "soak")]
    seed: Option<u64>,
    /// Keep the servers' data and logs in .diagflow/test-…
    #[arg(long)]
    keep: bool,
}

/// Plays the table, and fails when an invariant does not hold.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    test_servers::run_program("run-faults", options.keep, |workspace, command| {
        command.env("DIAGFLOW_TEST_FAKETIME", install::faketime::find_or_install(workspace)?);
        for (flag, value) in [("--soak", options.soak), ("--seed", options.seed)] {
            command.args(value.map(|value| format!("{flag}={value}")));
        }
        command.args(&options.rows);
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

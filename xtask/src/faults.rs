//! `cargo xtask faults` starts servers and runs the fault table on them.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{install, test_servers};

#[derive(Args)]
pub(crate) struct Options {
    /// Numbers of the rows to run [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Run simulated patients and staff with random faults for this many minutes, instead of the table
    #[arg(long, value_name = "MINUTES", conflicts_with = "rows")]
    soak: Option<u64>,
    /// Seed for random choices [default: a random seed, which is printed]
    #[arg(long, value_name = "N", requires = "soak")]
    seed: Option<u64>,
    /// Keep the servers' data and logs in .diagflow/test-…
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    test_servers::run_program("run_faults", options.keep, |workspace, command| {
        command.env("DIAGFLOW_TEST_FAKETIME", install::faketime::find_or_install(workspace)?);
        for (flag, value) in [("--soak", options.soak), ("--seed", options.seed)] {
            command.args(value.map(|value| format!("{flag}={value}")));
        }
        command.args(&options.rows);
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

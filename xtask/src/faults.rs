//! `cargo xtask faults`: the fault table, against servers of its own.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::workspace::Workspace;
use crate::{cargo, guard, install, interrupt, process, test_servers};

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
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    let tools = install::find_or_install(&workspace)?;
    let clock = install::faketime::find_or_install(&workspace)?;
    cargo::run(&workspace, &test_servers::BUILD, &[])?;
    test_servers::with_servers(&workspace, &tools, options.keep, |variables, servers| {
        let mut command = guard::command(cargo::product(false)?.with_file_name("run-faults"));
        command.env("DIAGFLOW_TEST_FAKETIME", &clock);
        for (flag, value) in [("--soak", options.soak), ("--seed", options.seed)] {
            command.args(value.map(|value| format!("{flag}={value}")));
        }
        command.args(&options.rows).envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().context("cannot start the table")?;
        let status = process::wait(child, || servers.expect_alive())?;
        ensure!(status.success(), "an invariant does not hold, or it took too long: see above");
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

//! `cargo xtask clients` checks the API with third-party clients.

use std::process::ExitCode;

use anyhow::Result;

use crate::test_servers;

pub(crate) fn run() -> Result<ExitCode> {
    test_servers::run_program("check_clients", false, |_, _| Ok(()))?;
    Ok(ExitCode::SUCCESS)
}

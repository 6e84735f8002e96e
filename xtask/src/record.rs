//! `cargo xtask record`: new histories for the replay tests, made by the binary and the harness of today.

use std::process::ExitCode;

use anyhow::Result;

use crate::{progress, test_servers};

/// Records one history of every case, beside those that are there.
pub(crate) fn run() -> Result<ExitCode> {
    test_servers::run_program("record-histories", false, |_, _| Ok(()))?;
    progress::print(
        "Look at the new files in tests/histories/, then commit them; docs/CHANGING-WORKFLOWS.md tells more.",
    );
    Ok(ExitCode::SUCCESS)
}

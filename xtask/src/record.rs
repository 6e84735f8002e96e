//! `cargo xtask record` uses the current code to record new histories for the replay tests.

use std::process::ExitCode;

use anyhow::Result;

use crate::{progress, test_servers};

pub(crate) fn run() -> Result<ExitCode> {
    test_servers::run_program("record_histories", false, |_, _| Ok(()))?;
    progress::print(
        "Review the new files in tests/histories/ and commit them (docs/CHANGING-WORKFLOWS.md).",
    );
    Ok(ExitCode::SUCCESS)
}

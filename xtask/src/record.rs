//! `cargo xtask record`: new histories for the replay tests, made by the binary and the harness of today.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::workspace::Workspace;
use crate::{cargo, guard, install, interrupt, process, progress, test_servers};

/// Records one history of every case, beside those that are there.
pub(crate) fn run() -> Result<ExitCode> {
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    let tools = install::find_or_install(&workspace)?;
    cargo::run(&workspace, &test_servers::BUILD, &[])?;
    let recorder = cargo::product(false)?.with_file_name("record-histories");
    test_servers::with_servers(&workspace, &tools, false, |variables, servers| {
        let step = Step::begin_streaming("recording");
        let mut command = guard::command(recorder);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().context("cannot start the recorder")?;
        if !process::wait(child, || servers.expect_alive())?.success() {
            bail!("the recorder failed: see above");
        }
        step.done("recorded into tests/histories/");
        Ok(())
    })?;
    progress::print(
        "Look at the new files, then commit them; docs/CHANGING-WORKFLOWS.md tells more.",
    );
    Ok(ExitCode::SUCCESS)
}

//! Runs cargo and locates the binaries that it builds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::workspace::Workspace;
use crate::{guard, process};

/// Uses the cargo that runs this program, in the workspace root.
pub(crate) fn command<'a>(
    workspace: &Workspace,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = guard::command(cargo);
    command.args(arguments).current_dir(workspace.root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo_run) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether cargo set a variable for this program. Build scripts (such as that of ring) depend on these variables, so
/// passing them on would recompile half of the workspace after each direct use of cargo.
fn is_set_by_cargo_run(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
}

pub(crate) fn run(
    workspace: &Workspace,
    arguments: &[&str],
    variables: &[(&str, String)],
) -> Result<()> {
    let title = format!("cargo {}", arguments.join(" "));
    let step = Step::begin_streaming(&title);
    let mut command = command(workspace, arguments.iter().copied());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let status = process::wait(command.spawn().context("cannot start cargo")?, || Ok(()))?;
    if !status.success() {
        bail!("{title} failed");
    }
    step.done(title);
    Ok(())
}

pub(crate) fn product(release: bool) -> Result<PathBuf> {
    Ok(target()?.join(if release { "release" } else { "debug" }).join("diagflow"))
}

pub(crate) fn example(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("debug").join("examples").join(name))
}

/// The newest build of this program, which may have replaced the running one.
pub(crate) fn xtask() -> Result<PathBuf> {
    Ok(target()?.join("debug").join("xtask"))
}

fn target() -> Result<PathBuf> {
    // This program is in `<target>/debug/`, wherever the target folder is.
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let target = own.ancestors().nth(2).context("this program is not in a target folder")?;
    Ok(target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_variables_of_the_user_are_passed_on() {
        assert!(is_set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(is_set_by_cargo_run("CARGO_MANIFEST_DIR"));
        for set_by_a_user in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "PATH"] {
            assert!(!is_set_by_cargo_run(set_by_a_user), "{set_by_a_user}");
        }
    }
}

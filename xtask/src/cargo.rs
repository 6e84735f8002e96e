//! Runs cargo and locates the binaries it builds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::workspace::Workspace;
use crate::{guard, process};

/// Returns a command that runs the current cargo in the workspace root.
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

/// Returns whether cargo set this variable for the running program. Build scripts depend on these variables, so if they
/// were passed on to cargo, the user's next direct `cargo` command would recompile half of the workspace.
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

/// Returns the path of the latest build of this program, which may differ from the running one.
pub(crate) fn xtask() -> Result<PathBuf> {
    Ok(target()?.join("debug").join("xtask"))
}

fn target() -> Result<PathBuf> {
    // This program is in `<target>/debug/`, but the target folder may be anywhere.
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let target = own.ancestors().nth(2).context("this program is not in a cargo target folder")?;
    Ok(target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_variables_set_by_the_user_are_passed_on() {
        assert!(is_set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(is_set_by_cargo_run("CARGO_MANIFEST_DIR"));
        for set_by_a_user in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "PATH"] {
            assert!(!is_set_by_cargo_run(set_by_a_user), "{set_by_a_user}");
        }
    }
}

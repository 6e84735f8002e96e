//! The checks of format, lints and documentation.
//!
//! Each compiler has other lints, so only those of the one that CI uses may fail a run. No `rust-toolchain.toml`
//! says so: it would make rustup download that compiler, and a machine without the internet could build nothing.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{cargo, progress};

/// The compiler whose lints count: that of `.github/workflows/ci.yml` and of the `Dockerfile`.
const COMPILER: &str = "1.95";

/// What a person whose toolchain lacks a component is told.
const INSTALL_HINT: &str =
    "add it by `rustup component add clippy rustfmt`, or from the packages of your distribution";

/// A check: arguments of cargo, and variables for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
    /// The subcommand that may be missing, with its name as a component.
    component: Option<(&'static str, &'static str)>,
}

/// The checks for the compiler here; says so when it is another one than CI's.
pub(crate) fn list() -> Result<Vec<Check>> {
    let version = compiler_version()?;
    let strict = is_compiler_of_ci(&version);
    if !strict {
        progress::print(format!(
            "Lints are those of Rust {COMPILER}, which CI uses; this is {version}: its warnings are shown, not counted."
        ));
    }
    Ok(list_for(strict))
}

impl Check {
    /// Runs it with its output shown; an error with the remedy when its component is missing.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<()> {
        if let Some((subcommand, component)) = self.component {
            let probe = cargo::command(workspace, [subcommand, "--version"]).output();
            if !probe.is_ok_and(|output| output.status.success()) {
                bail!("{component} is missing from this Rust toolchain: {INSTALL_HINT}");
            }
        }
        cargo::run(workspace, &self.arguments, &self.variables)
    }
}

fn list_for(strict: bool) -> Vec<Check> {
    let mut clippy = vec!["clippy", "--workspace", "--all-targets"];
    let mut documentation = Vec::new();
    if strict {
        clippy.extend(["--", "-D", "warnings"]);
        documentation.push(("RUSTDOCFLAGS", "-D warnings"));
    }
    vec![
        Check {
            arguments: vec!["fmt", "--all", "--check"],
            variables: Vec::new(),
            component: Some(("fmt", "rustfmt")),
        },
        Check { arguments: clippy, variables: Vec::new(), component: Some(("clippy", "clippy")) },
        Check {
            arguments: vec!["doc", "--workspace", "--no-deps"],
            variables: documentation,
            component: None,
        },
    ]
}

/// The version of the compiler that cargo uses, such as `1.95.0`.
fn compiler_version() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version =
        text.split_ascii_whitespace().nth(1).context("rustc does not tell its version")?;
    Ok(version.to_owned())
}

/// Whether a version such as `1.95.0` is that of [`COMPILER`]; its own patches do not change lints.
fn is_compiler_of_ci(version: &str) -> bool {
    version.strip_prefix(COMPILER).is_some_and(|rest| rest.starts_with('.') && !rest.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ci_compiler_turns_warnings_into_errors() {
        assert!(is_compiler_of_ci("1.95.0") && is_compiler_of_ci("1.95.1"));
        for other in ["1.92.0", "1.96.0", "1.95.0-nightly", "1.950.0"] {
            assert!(!is_compiler_of_ci(other), "{other}");
        }
        let denies = |strict: bool| {
            list_for(strict)
                .iter()
                .filter(|check| {
                    check.arguments.contains(&"-D")
                        || check.variables.contains(&("RUSTDOCFLAGS", "-D warnings"))
                })
                .count()
        };
        assert_eq!((denies(true), denies(false)), (2, 0));
    }

    #[test]
    fn ci_and_the_dockerfile_use_the_same_compiler() {
        let ci = include_str!("../../.github/workflows/ci.yml");
        assert!(ci.contains(&format!("RUST_VERSION: {COMPILER}.")), "{ci}");
        let image = include_str!("../../Dockerfile");
        assert!(image.contains(&format!("FROM rust:{COMPILER}-")), "{image}");
    }
}

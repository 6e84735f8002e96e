//! Checks formatting, lints and documentation.
//!
//! Lints differ between compiler versions, so warnings cause a run to fail only with the compiler version used in CI.
//! The project has no `rust-toolchain.toml` because it would make rustup download that version from the internet.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress;

/// The compiler version in `.github/workflows/ci.yml` and `Dockerfile`.
const COMPILER: &str = "1.95";

pub(crate) struct Check {
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// Returns the checks for the installed compiler. Prints a note if CI uses a different one.
pub(crate) fn list() -> Result<Vec<Check>> {
    let version = rustc_version()?;
    let version =
        version.split_ascii_whitespace().nth(1).context("rustc --version printed no version")?;
    let strict = is_compiler_of_ci(version);
    if !strict {
        progress::print(format!(
            "CI uses Rust {COMPILER}, not {version}: warnings are shown but do not fail the run."
        ));
    }
    Ok(list_for(strict))
}

fn list_for(strict: bool) -> Vec<Check> {
    let mut clippy = vec!["clippy", "--workspace", "--all-targets"];
    let mut doc_variables = Vec::new();
    if strict {
        clippy.extend(["--", "-D", "warnings"]);
        doc_variables.push(("RUSTDOCFLAGS", "-D warnings".to_owned()));
    }
    vec![
        Check { arguments: vec!["fmt", "--all", "--check"], variables: Vec::new() },
        Check { arguments: clippy, variables: Vec::new() },
        Check { arguments: vec!["doc", "--workspace", "--no-deps"], variables: doc_variables },
    ]
}

fn rustc_version() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc --version failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// Compares versions without the patch number because patch releases do not change lints.
fn is_compiler_of_ci(version: &str) -> bool {
    version.strip_prefix(COMPILER).is_some_and(|rest| rest.starts_with('.') && !rest.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors_only_with_the_compiler_used_in_ci() {
        assert!(is_compiler_of_ci("1.95.0") && is_compiler_of_ci("1.95.1"));
        for other in ["1.92.0", "1.96.0", "1.95.0-nightly", "1.950.0"] {
            assert!(!is_compiler_of_ci(other), "{other}");
        }
        let denies = |strict| {
            let checks = list_for(strict);
            let deny = |check: &Check| {
                check.arguments.contains(&"-D")
                    || check.variables.contains(&("RUSTDOCFLAGS", "-D warnings".to_owned()))
            };
            checks.iter().filter(|check| deny(check)).count()
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

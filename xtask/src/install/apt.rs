//! Unpacks Debian packages into a folder instead of installing them.
//!
//! `apt-get install` requires root, may start services, and would replace an installed MySQL with MariaDB. Unpacking
//! leaves the system unchanged. apt still selects, downloads and verifies the packages. It uses separate package lists,
//! so it neither needs the system-wide lock nor relies on up-to-date system lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, create_private_dir};
use crate::{guard, interrupt, process};

pub(super) struct Apt {
    state: PathBuf,
    log: PathBuf,
}

impl Apt {
    /// Downloads the package lists. Fails if apt is not installed.
    pub(super) fn prepare(workspace: &Workspace) -> Result<Self> {
        if super::find_program("apt-get", &[]).is_none()
            || super::find_program("dpkg-deb", &[]).is_none()
        {
            bail!("apt-get is not installed on this machine");
        }
        let apt = Self { state: state(workspace), log: workspace.tools().join("apt.log") };
        for folder in ["lists/partial", "cache/archives/partial"] {
            create_private_dir(&apt.state.join(folder))?;
        }
        // Errors are ignored because the remaining sources can be searched even if one is unreachable.
        let _ = process::run_logged(apt.command("apt-get", &["update"]), &apt.log);
        interrupt::check()?;
        Ok(apt)
    }

    /// Returns the package named `base` if it exists, and otherwise the one with the highest version suffix, such as
    /// `base-10.6`.
    pub(super) fn resolve(&self, base: &str) -> Result<String> {
        let pattern = format!("^{base}(-[0-9.]+)?$");
        let output = self
            .command("apt-cache", &["search", "--names-only", &pattern])
            .output()
            .context("cannot run apt-cache")?;
        let found = String::from_utf8_lossy(&output.stdout);
        choose(base, &found).with_context(|| {
            let log = self.log.display();
            format!("no reachable package source contains {base}; see the output of apt in {log}")
        })
    }

    /// Unpacks `packages` and their missing dependencies into `into`.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let mut arguments =
            vec!["install", "--download-only", "--reinstall", "--yes", "--no-install-recommends"];
        arguments.extend(packages.iter().map(String::as_str));
        process::run_logged(self.command("apt-get", &arguments), &self.log)?;
        let archives = self.state.join("cache/archives");
        for entry in fs::read_dir(&archives)? {
            let archive = entry?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                let mut command = guard::command("dpkg-deb");
                command.arg("--extract").arg(&archive).arg(into);
                process::run_logged(command, &self.log)?;
                fs::remove_file(&archive)?;
            }
        }
        Ok(())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let state = self.state.display();
        let mut command = guard::command(program);
        for option in [
            format!("Dir::State::Lists={state}/lists"),
            format!("Dir::Cache={state}/cache"),
            // The system locks are not needed because they only guard changes to the system.
            "Debug::NoLocking=true".to_owned(),
            // When run as root, apt downloads as the user `_apt`, which has no access to private folders.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.args(arguments).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// Deletes the package lists, which are no longer needed.
pub(super) fn clear(workspace: &Workspace) -> Result<()> {
    let state = state(workspace);
    if state.exists() {
        fs::remove_dir_all(state)?;
    }
    Ok(())
}

fn state(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("apt")
}

/// Selects a package from the output of apt-cache, whose lines have the form `name - description`.
fn choose(base: &str, found: &str) -> Option<String> {
    let names: Vec<&str> =
        found.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    let version = |name: &str| -> Vec<u32> {
        let digits = name.strip_prefix(base).unwrap_or_default().trim_start_matches('-');
        digits.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    let plain = names.iter().find(|name| **name == base);
    plain.or_else(|| names.iter().max_by_key(|name| version(name))).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_name_takes_precedence_over_the_highest_version() {
        let choose = |found| choose("mariadb-server-core", found);
        let both = "mariadb-server-core-10.5 - files\nmariadb-server-core - files\n";
        assert_eq!(choose(both).as_deref(), Some("mariadb-server-core"));
        let versions = "mariadb-server-core-10.6 - files\nmariadb-server-core-10.11 - files\n";
        assert_eq!(choose(versions).as_deref(), Some("mariadb-server-core-10.11"));
        assert_eq!(choose(""), None);
    }
}

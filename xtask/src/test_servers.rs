//! A trial: a fresh database server and a fresh Temporal server, on free ports, in a folder of their own,
//! beside a running `cargo xtask up` if there is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::install::{self, Tools};
use crate::process::{self, Servers};
use crate::servers::{self, Accounts, SystemFolder, TemporalAddresses};
use crate::workspace::{Lock, Workspace, create_private_dir};
use crate::{cargo, guard, interrupt, ports, progress};

/// What leaves the product's binary and all tests behind, in one build with one set of features: what this
/// compiles, `cargo test` finds again.
pub(crate) const BUILD: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];

/// Where the tests find their database server. One that the caller names is used instead of a fresh one.
const DATABASE: &str = "DIAGFLOW_TEST_MYSQL_URL";

/// Builds everything, and runs a program of the crate `tests` beside fresh servers. `prepare` completes its command.
pub(crate) fn run_program(
    name: &str,
    keep: bool,
    prepare: impl FnOnce(&Workspace, &mut Command) -> Result<()>,
) -> Result<()> {
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    let tools = install::find_or_install(&workspace)?;
    let mut command = guard::command(cargo::product(false)?.with_file_name(name));
    prepare(&workspace, &mut command)?;
    cargo::run(&workspace, &BUILD, &[])?;
    with_servers(&workspace, &tools, keep, |variables, servers| {
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let status = process::wait(child, || servers.expect_alive())?;
        ensure!(status.success(), "{name} failed: see above");
        Ok(())
    })
}

/// Does some work beside fresh servers, and clears those away whatever comes of it. The work gets the
/// variables by which tests find the servers. `keep` leaves the servers' data and logs behind.
pub(crate) fn with_servers(
    workspace: &Workspace,
    tools: &Tools,
    keep: bool,
    work: impl FnOnce(&[(&'static str, String)], &mut Servers) -> Result<()>,
) -> Result<()> {
    let folder = TestFolder::make(workspace, keep)?;
    let home = SystemFolder::open(folder.path.clone())?;
    let mut servers = Servers::default();
    let done =
        start(tools, &home, &mut servers).and_then(|variables| work(&variables, &mut servers));
    progress::print("");
    let stopped = servers.stop_all();
    done?;
    stopped
}

/// Starts the servers and tells the variables by which tests find them.
fn start(
    tools: &Tools,
    home: &SystemFolder,
    servers: &mut Servers,
) -> Result<Vec<(&'static str, String)>> {
    progress::print("");
    let [mariadb, temporal] = ports::find_free()?;
    let database = match std::env::var(DATABASE) {
        Ok(url) if !url.is_empty() => url,
        _ => {
            servers::start_mariadb(servers, &tools.mariadb, home, mariadb, &Accounts::Tests)?;
            format!("mysql://root@127.0.0.1:{mariadb}")
        }
    };
    servers::start_temporal(
        servers,
        &tools.temporal,
        home,
        TemporalAddresses { grpc: temporal, ui: None },
    )?;
    let text =
        |path: &Path| path.to_str().map(str::to_owned).context("a path here is not valid text");
    Ok(vec![
        (DATABASE, database),
        ("DIAGFLOW_TEST_TEMPORAL", format!("127.0.0.1:{temporal}")),
        ("DIAGFLOW_TEST_TEMPORAL_CLI", text(&tools.temporal)?),
        ("DIAGFLOW_TEST_MARIADBD", text(&tools.mariadb.server)?),
        ("DIAGFLOW_TEST_MARIADB_OPTIONS", servers::MARIADB_OPTIONS.join(" ")),
        ("DIAGFLOW_TEST_MARIADB_INSTALL_DB", text(&tools.mariadb.install_db)?),
        ("DIAGFLOW_TEST_MARIADB_CLIENTS", text(&tools.mariadb.clients)?),
        ("DIAGFLOW_BIN", text(&cargo::product(false)?)?),
        ("DIAGFLOW_TEST_XTASK", text(&cargo::xtask()?)?),
    ])
}

/// A folder that is there for one test run.
struct TestFolder {
    path: PathBuf,
    keep: bool,
    _lock: Lock,
}

impl TestFolder {
    /// Makes a fresh folder, and removes those whose run was killed before it could.
    fn make(workspace: &Workspace, keep: bool) -> Result<Self> {
        remove_leftovers(&workspace.state())?;
        let path = workspace.state().join(format!("test-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        create_private_dir(&path)?;
        let lock =
            Lock::try_acquire(&path.join("lock"))?.context("a new folder is locked already")?;
        Ok(Self { path, keep, _lock: lock })
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if self.keep {
            // Without its lock file the folder is no leftover: it was asked for.
            let _ = fs::remove_file(self.path.join("lock"));
            progress::print(format!("Data and logs are kept in {}", self.path.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            progress::print(format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// Removes test folders with a lock that nobody holds.
fn remove_leftovers(state: &Path) -> Result<()> {
    for entry in fs::read_dir(state)?.flatten() {
        let lock = entry.path().join("lock");
        let is_test = entry.file_name().to_string_lossy().starts_with("test-");
        if is_test && lock.exists() && Lock::try_acquire(&lock)?.is_some() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_runs_are_removed() -> Result<()> {
        let state = tempfile::tempdir()?;
        for name in ["test-1", "test-2", "test-3", "mariadb"] {
            fs::create_dir(state.path().join(name))?;
        }
        fs::write(state.path().join("test-1/lock"), "1")?;
        let _running = Lock::try_acquire(&state.path().join("test-2/lock"))?;

        remove_leftovers(state.path())?;

        let exists = |name| state.path().join(name).exists();
        assert!(!exists("test-1"), "its run was killed");
        assert!(exists("test-2"), "its run goes on");
        assert!(exists("test-3"), "it was kept on purpose");
        assert!(exists("mariadb"), "it is no test's");
        Ok(())
    }
}

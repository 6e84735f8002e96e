//! Starts new database and Temporal servers for tests. They use free ports and a separate folder, so tests can run
//! while `cargo xtask up` is running.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::install::{self, Tools};
use crate::process::{self, Servers};
use crate::servers::{self, Accounts, SystemFolder, TemporalAddresses};
use crate::workspace::{Lock, Workspace, create_private_dir};
use crate::{cargo, guard, interrupt, ports, progress};

/// Builds the `diagflow` binary and all tests with a single set of features so that `cargo test` recompiles nothing.
pub(crate) const BUILD: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];

/// Environment variable with the URL of the test database server. If it is set, no database server is started.
const DATABASE: &str = "DIAGFLOW_TEST_MYSQL_URL";

/// Builds an example program from the `tests` crate and runs it with new servers. `prepare` adds its arguments.
pub(crate) fn run_program(
    name: &str,
    keep: bool,
    prepare: impl FnOnce(&Workspace, &mut Command) -> Result<()>,
) -> Result<()> {
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    let tools = install::find_or_install(&workspace)?;
    let mut command = guard::command(cargo::example(name)?);
    prepare(&workspace, &mut command)?;
    cargo::run(&workspace, &["build", "--workspace", "--bins", "--example", name], &[])?;
    with_servers(&workspace, &tools, keep, |variables, servers| {
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let status = process::wait(child, || servers.expect_alive())?;
        ensure!(status.success(), "{name} failed: see above");
        Ok(())
    })
}

/// Starts new servers, runs `work`, and stops the servers. `work` receives their addresses as environment variables. If
/// `keep` is set, the servers' data and logs are not deleted.
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
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is not valid UTF-8");
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

struct TestFolder {
    path: PathBuf,
    keep: bool,
    _lock: Lock,
}

impl TestFolder {
    /// Creates a folder, and deletes those left behind by killed runs.
    fn make(workspace: &Workspace, keep: bool) -> Result<Self> {
        remove_leftovers(&workspace.state())?;
        let path = workspace.state().join(format!("test-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        create_private_dir(&path)?;
        let lock = Lock::try_acquire(&path.join("lock"))?
            .context("another process has locked the new folder")?;
        Ok(Self { path, keep, _lock: lock })
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if self.keep {
            // The lock file is removed because later runs do not delete folders without one.
            let _ = fs::remove_file(self.path.join("lock"));
            progress::print(format!("Data and logs are kept in {}", self.path.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            progress::print(format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// Deletes test folders whose lock is free, which means that their runs have ended.
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
    fn only_folders_of_killed_runs_are_removed() -> Result<()> {
        let state = tempfile::tempdir()?;
        for name in ["test-1", "test-2", "test-3", "mariadb"] {
            fs::create_dir(state.path().join(name))?;
        }
        fs::write(state.path().join("test-1/lock"), "1")?;
        let _running = Lock::try_acquire(&state.path().join("test-2/lock"))?;

        remove_leftovers(state.path())?;

        let exists = |name| state.path().join(name).exists();
        assert!(!exists("test-1"), "the run of this folder was killed");
        assert!(exists("test-2"), "the run of this folder is active");
        assert!(exists("test-3"), "this folder was kept on purpose");
        assert!(exists("mariadb"), "this folder belongs to no test");
        Ok(())
    }
}

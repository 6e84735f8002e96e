//! Servers for tests: a new database server and a new Temporal server, on free ports and in their own folder, even
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

/// Builds the `diagflow` binary and all tests with one set of features, so that `cargo test` recompiles nothing.
pub(crate) const BUILD: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];

/// The URL of the tests' database server. If it is set, no database server is started.
const DATABASE: &str = "DIAGFLOW_TEST_MYSQL_URL";

/// Builds an example of the crate `tests` and runs it with new servers. `prepare` completes its command.
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

/// Runs `work` with new servers, then stops them. `work` receives environment variables with their addresses. `keep`
/// preserves their data and logs.
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
    /// Creates a folder, and deletes those of killed runs.
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
            // The next run does not delete a folder without a lock file.
            let _ = fs::remove_file(self.path.join("lock"));
            progress::print(format!("Data and logs are kept in {}", self.path.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            progress::print(format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// Deletes the test folders of runs that have ended: no process holds their lock.
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
        assert!(!exists("test-1"), "its run was killed");
        assert!(exists("test-2"), "its run is active");
        assert!(exists("test-3"), "it was kept on purpose");
        assert!(exists("mariadb"), "it belongs to no test");
        Ok(())
    }
}

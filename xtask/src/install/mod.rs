//! Finds the tools needed to run the system, and downloads missing ones into `.diagflow/tools/`.
//!
//! Nothing is installed system-wide. No services are started, no packages are replaced, and root access is not
//! required.

mod apt;
pub(crate) mod browser;
pub(crate) mod faketime;
mod mariadb;
pub(crate) mod nginx;
mod temporal;
mod wrapper;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::interrupt;
use crate::progress::Step;
use crate::workspace::{self, Lock, Workspace};

pub(crate) use mariadb::MariaDb;

pub(crate) struct Tools {
    pub(crate) temporal: PathBuf,
    pub(crate) mariadb: MariaDb,
}

pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Tools> {
    workspace::create_private_dir(&workspace.tools())?;
    let _lock = lock(workspace)?;
    let temporal = temporal::find_or_install(workspace)?;
    let mariadb = mariadb::find_or_install(workspace)?;
    apt::clear(workspace)?;
    Ok(Tools { temporal, mariadb })
}

/// Acquires the lock that ensures only one process installs tools, because `up` and `test` may run at the same time.
fn lock(workspace: &Workspace) -> Result<Lock> {
    let path = workspace.tools().join("lock");
    if let Some(lock) = Lock::try_acquire(&path)? {
        return Ok(lock);
    }
    let step = Step::begin("wait for another `cargo xtask` to install its tools");
    loop {
        interrupt::check()?;
        if let Some(lock) = Lock::try_acquire(&path)? {
            step.done("another `cargo xtask` has installed its tools");
            return Ok(lock);
        }
        sleep(Duration::from_millis(200));
    }
}

/// Creates the folder `home` with the content written by `fill`. The folder has a temporary name until it is complete,
/// so an incomplete installation is never used.
fn create_atomically(home: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let unfinished = home.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    workspace::create_private_dir(&unfinished)?;
    fill(&unfinished)?;
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    fs::rename(&unfinished, home).with_context(|| format!("cannot create {}", home.display()))
}

fn with_install_hint(error: anyhow::Error, packages: &str) -> anyhow::Error {
    if error.is::<interrupt::Interrupted>() {
        return error;
    }
    error.context(format!(
        "a required tool is missing and cannot be downloaded; install it and try again:\n  \
         sudo apt-get update && sudo apt-get install --no-install-recommends {packages}\n  \
         (or put the same programs on the PATH in another way)"
    ))
}

fn find_program(name: &str, further: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(further.iter().map(PathBuf::from));
    which::which_in(name, std::env::join_paths(folders).ok(), "/").ok()
}

fn is_executable(file: &Path) -> bool {
    which::which(file).is_ok()
}

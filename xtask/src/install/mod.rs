//! Finds the tools that a system needs, or puts those that are missing below `.diagflow/tools/`.
//!
//! Nothing is installed into the machine: no service is started, no package of the user's is replaced, and
//! no right beyond the user's own is needed.

mod apt;
pub(crate) mod faketime;
mod mariadb;
mod temporal;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::interrupt;
use crate::progress::Step;
use crate::workspace::{self, Lock, Workspace};

pub(crate) use mariadb::MariaDb;

/// Everything outside the workspace that a running system needs.
pub(crate) struct Tools {
    /// The `temporal` command, which has a server within.
    pub(crate) temporal: PathBuf,
    /// The database server.
    pub(crate) mariadb: MariaDb,
}

/// Finds every tool, and installs what is missing.
pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Tools> {
    workspace::create_private_dir(&workspace.tools())?;
    let _lock = lock(workspace)?;
    let temporal = temporal::find_or_install(workspace)?;
    let mariadb = mariadb::find_or_install(workspace)?;
    apt::clear(workspace)?;
    Ok(Tools { temporal, mariadb })
}

/// One installation at a time: `up` and `test` may begin together.
fn lock(workspace: &Workspace) -> Result<Lock> {
    let path = workspace.tools().join("lock");
    if let Some(lock) = Lock::try_acquire(&path)? {
        return Ok(lock);
    }
    let step = Step::begin("wait for another `cargo xtask` that installs tools");
    loop {
        interrupt::check()?;
        if let Some(lock) = Lock::try_acquire(&path)? {
            step.done("another `cargo xtask` has installed its tools");
            return Ok(lock);
        }
        sleep(Duration::from_millis(200));
    }
}

/// Makes the folder `home` by `fill`. It is filled aside and renamed at the end, so that one whose making was
/// interrupted is never taken for a whole one.
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
    fs::rename(&unfinished, home).with_context(|| format!("cannot make {}", home.display()))
}

/// What to do by hand where the machine cannot be helped.
fn with_install_hint(error: anyhow::Error, packages: &str) -> anyhow::Error {
    if error.is::<interrupt::Interrupted>() {
        return error;
    }
    error.context(format!(
        "a needed tool is missing and could not be fetched; install it by hand and try again:\n  \
         sudo apt-get update && sudo apt-get install --no-install-recommends {packages}\n  \
         (or your system's packages of the same programs, on the PATH)"
    ))
}

/// The program `name`, on the PATH or in one of these folders.
fn find_program(name: &str, further: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(further.iter().map(PathBuf::from));
    which::which_in(name, std::env::join_paths(folders).ok(), "/").ok()
}

fn is_executable(file: &Path) -> bool {
    which::which(file).is_ok()
}

//! Finds or unpacks libfaketime, which changes a process's clock. It is needed for one row of the fault table.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::{self, Apt};
use super::{create_atomically, lock, with_install_hint};
use crate::progress::Step;
use crate::workspace::{self, Workspace};

pub(crate) fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::begin("libfaketime");
    if let Some(found) = find(Path::new("/")) {
        step.done(format!("libfaketime found: {}", found.display()));
        return Ok(found);
    }
    workspace::create_private_dir(&workspace.tools())?;
    let _lock = lock(workspace)?;
    let home = workspace.tools().join("faketime");
    if !home.exists() {
        let unpack = || {
            let apt = Apt::prepare(workspace)?;
            create_atomically(&home, |folder| apt.unpack(&["libfaketime".to_owned()], folder))?;
            apt::clear(workspace)
        };
        unpack().map_err(|error| with_install_hint(error, "libfaketime"))?;
    }
    let found = find(&home).context("the package libfaketime does not contain the library")?;
    step.done(format!("libfaketime unpacked in {}", workspace.relative(&home)));
    Ok(found)
}

/// Finds the library in a folder whose name depends on the architecture.
fn find(root: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(root.join("usr/lib")).ok()?.flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists())
}

//! Finds or unpacks nginx for the browser tests.

use std::path::PathBuf;

use anyhow::Result;

use super::apt::{self, Apt};
use super::{create_atomically, find_program, lock, with_install_hint, wrapper};
use crate::progress::Step;
use crate::workspace::{self, Workspace};

pub(crate) fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::begin("nginx");
    if let Some(found) = find_program("nginx", &["/usr/sbin"]) {
        step.done(format!("nginx found: {}", found.display()));
        return Ok(found);
    }
    workspace::create_private_dir(&workspace.tools())?;
    let _lock = lock(workspace)?;
    let home = workspace.tools().join("nginx");
    if !home.exists() {
        let unpack = || {
            let apt = Apt::prepare(workspace)?;
            create_atomically(&home, |folder| {
                apt.unpack(&["nginx".to_owned()], folder)?;
                wrapper::write_exec(folder, "usr/sbin/nginx", "nginx")
            })?;
            apt::clear(workspace)
        };
        unpack().map_err(|error| with_install_hint(error, "nginx"))?;
    }
    step.done(format!("nginx unpacked in {}", workspace.relative(&home)));
    Ok(home.join("bin/nginx"))
}

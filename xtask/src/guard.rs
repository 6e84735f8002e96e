//! How a child is made to die with its parent, even one that is killed without warning.
//!
//! Linux sends a process a signal of its choice when its parent ends (`PR_SET_PDEATHSIG`). The wish must be
//! made by the child itself, and code between `fork` and `exec` is unsafe in Rust; so every child starts as
//! this very program, makes the wish, and then replaces itself by the program that was meant (`exec` keeps
//! the wish and the process id).

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// The hidden subcommand that a child starts as.
pub(crate) const COMMAND: &str = "guard";
/// Where the program stands among the arguments: after the subcommand, the parent's id and `--`.
pub(crate) const PROGRAM_INDEX: usize = 3;

/// A command for `program` whose process ends when this one does, and which the terminal's Ctrl-C does not
/// reach: it leads a process group of its own.
///
/// To be spawned by the main thread only: the kernel watches the thread that spawned, not the process.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    // Not `current_exe()`: that path may hold another build, or nothing, after a rebuild.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(COMMAND)
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Turns this process into `command`, bound to the life of `parent`.
pub(crate) fn become_child(parent: u32, command: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no program was named")?;
    // SIGKILL, not SIGTERM: it cannot be ignored or take long, and every store here survives it.
    set_pdeathsig(Signal::SIGKILL).context("cannot bind to the parent's life")?;
    // The parent may have died before the wish was made; then somebody else is the parent now.
    if std::os::unix::process::parent_id() != parent {
        bail!("the parent process {parent} is gone");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

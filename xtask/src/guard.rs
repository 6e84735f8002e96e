//! Ensures that child processes end with their parent, even if the parent is killed.
//!
//! Linux can send a process a signal when its parent ends (`PR_SET_PDEATHSIG`). The child must request this itself, but
//! code between `fork` and `exec` is unsafe in Rust. So every child starts as this program, requests the signal, and
//! replaces itself with the actual program; `exec` keeps the request and the process id.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Hidden subcommand that starts a child process.
pub(crate) const COMMAND: &str = "guard";
/// Index of the program in the arguments: after the subcommand, the parent's id and `--`.
pub(crate) const PROGRAM_INDEX: usize = 3;

/// A command that runs `program` in a process that ends with this one. The process has its own process group, so that
/// Ctrl-C in the terminal does not reach it.
///
/// Spawn it on the main thread only: the kernel watches the thread, not the process.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    // Not `current_exe()`: after a rebuild that path may contain another program or none.
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

/// Replaces this process with `command`, which is killed when `parent` ends.
pub(crate) fn become_child(parent: u32, command: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no program given")?;
    // SIGKILL cannot be ignored and acts at once; all servers here can recover from it.
    set_pdeathsig(Signal::SIGKILL).context("cannot request a signal for the end of the parent")?;
    // The parent may have died before the request; then this process has another parent.
    if std::os::unix::process::parent_id() != parent {
        bail!("the parent process {parent} has ended");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

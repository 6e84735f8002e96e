//! Ensures that child processes do not outlive their parent, even if it is killed.
//!
//! Linux can send a process a signal when its parent ends (`PR_SET_PDEATHSIG`). The child itself must request the
//! signal, but running code between `fork` and `exec` is unsafe in Rust. Every child therefore starts as this program,
//! requests the signal, and then replaces itself with the actual program. `exec` preserves both the request and the
//! process id.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// The hidden subcommand that starts a child process.
pub(crate) const COMMAND: &str = "guard";
/// Index of the program in the arguments, after the subcommand, the parent's process id and `--`.
pub(crate) const PROGRAM_INDEX: usize = 3;

/// Returns a command that runs `program` as a child process, which is killed when this process ends. The child gets its
/// own process group so that Ctrl-C in the terminal does not reach it.
///
/// Spawn the command only on the main thread because the kernel sends the signal when the spawning thread ends.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    // `current_exe()` is not used because a rebuild may have replaced or removed the program at that path.
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
    let (program, arguments) = command.split_first().context("the program to start is missing")?;
    // SIGKILL cannot be ignored and takes effect immediately. All servers recover from it.
    set_pdeathsig(Signal::SIGKILL).context("cannot set the parent-death signal")?;
    // If the parent died before the signal was requested, this process already has a different parent.
    if std::os::unix::process::parent_id() != parent {
        bail!("the parent process {parent} has ended");
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

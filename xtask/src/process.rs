//! Child processes. Servers run until they are stopped; jobs run to completion.
//!
//! Every child is started with [`guard`], so it cannot outlive this process.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::progress::Step;
use crate::{guard, interrupt};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Time allowed for an interrupted job to exit before it is killed.
const JOB_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of log lines to show when a process fails.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 * 1024;

pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop_timeout: Duration,
}

impl Server {
    /// Starts a command created by [`guard::command`] and writes its output to a new `log`. Any previous log is
    /// renamed. If the server does not stop within `stop_timeout`, it is killed.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        stop_timeout: Duration,
    ) -> Result<Self> {
        if log.exists() {
            fs::rename(&log, log.with_extension("previous.log"))?;
        }
        let child = with_log(&mut command, &log)?
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        Ok(Self { name, child, log, stop_timeout })
    }

    /// Waits until `probe` succeeds. Returns an error if the server exits first or `limit` elapses.
    pub(crate) fn await_ready(
        &mut self,
        limit: Duration,
        mut probe: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            self.expect_alive()?;
            let Err(reason) = probe() else { return Ok(()) };
            if started.elapsed() > limit {
                let seconds = limit.as_secs();
                bail!(
                    "the {} is not ready after {seconds} s ({reason:#})\n{}",
                    self.name,
                    self.tail()
                );
            }
            sleep(POLL_INTERVAL);
        }
    }

    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("the {} ended unexpectedly ({status})\n{}", self.name, self.tail())
            }
        }
    }

    fn stop(mut self) -> Result<()> {
        let step = Step::begin(format!("stop the {}", self.name));
        if self.child.try_wait()?.is_some() {
            step.warn(format!("the {} had already ended", self.name));
            return Ok(());
        }
        // The id cannot have been reused because this process has not reaped the child yet.
        let process = process_id(&self.child)?;
        kill(process, Signal::SIGTERM)?;
        let requested = Instant::now();
        while requested.elapsed() < self.stop_timeout {
            if self.child.try_wait()?.is_some() {
                step.done(format!("the {} stopped", self.name));
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        self.child.kill()?;
        self.child.wait()?;
        step.warn(format!(
            "the {} did not stop in {} s and was killed",
            self.name,
            self.stop_timeout.as_secs()
        ));
        Ok(())
    }

    fn tail(&self) -> String {
        tail(&self.log)
    }
}

#[derive(Default)]
pub(crate) struct Servers {
    /// Running servers, in the order in which they were started.
    running: Vec<Server>,
}

impl Servers {
    pub(crate) fn add(&mut self, server: Server) -> &mut Server {
        // Servers are added before they are ready so that they are stopped even if startup fails.
        let index = self.running.len();
        self.running.push(server);
        &mut self.running[index]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn expect_alive(&mut self) -> Result<()> {
        self.running.iter_mut().try_for_each(Server::expect_alive)
    }

    /// Stops all servers in reverse order, even if one of them fails to stop.
    pub(crate) fn stop_all(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(server) = self.running.pop() {
            let name = server.name;
            let stopped = server.stop().with_context(|| format!("cannot stop the {name}"));
            outcome = outcome.and(stopped);
        }
        outcome
    }
}

/// Runs a command created by [`guard::command`] and writes its output to `log`. If the command fails, the error
/// includes the end of the log.
pub(crate) fn run_logged(mut command: Command, log: &Path) -> Result<()> {
    let program = program_name(&command);
    let child =
        with_log(&mut command, log)?.spawn().with_context(|| format!("cannot start {program}"))?;
    let status = wait(child, || Ok(()))?;
    if !status.success() {
        bail!("{program} failed ({status})\n{}", tail(log));
    }
    Ok(())
}

/// Waits for a job, calling `meanwhile` repeatedly. If `meanwhile` fails or the user interrupts, the job and its
/// children are stopped.
pub(crate) fn wait(
    mut child: Child,
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<ExitStatus> {
    let group = process_id(&child)?;
    let outcome = loop {
        // `has_ended` does not reap the child, so its process group id cannot be reused.
        if has_ended(group)? {
            break Ok(());
        }
        if let Err(reason) = interrupt::check().and_then(|()| meanwhile()) {
            break Err(reason);
        }
        sleep(POLL_INTERVAL);
    };
    if outcome.is_err() {
        let _ = killpg(group, Signal::SIGTERM);
        let requested = Instant::now();
        while requested.elapsed() < JOB_STOP_TIMEOUT && !has_ended(group)? {
            sleep(POLL_INTERVAL);
        }
    }
    // Kills any processes that the job left in its group. Usually there are none, so errors are ignored.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait()?;
    outcome.map(|()| status)
}

fn tail(log: &Path) -> String {
    let lines = last_lines(log).unwrap_or_default();
    format!("  end of the log {}:\n{lines}", log.display())
}

fn last_lines(log: &Path) -> Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    Ok(shown.iter().map(|line| format!("    | {line}")).collect::<Vec<_>>().join("\n"))
}

fn with_log<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let open = || OpenOptions::new().append(true).create(true).open(log);
    let file = open().with_context(|| format!("cannot write the log {}", log.display()))?;
    Ok(command.stdout(Stdio::from(file.try_clone()?)).stderr(Stdio::from(file)))
}

fn program_name(command: &Command) -> String {
    let name = command.get_args().nth(guard::PROGRAM_INDEX).unwrap_or(command.get_program());
    Path::new(name).file_name().unwrap_or(name).display().to_string()
}

fn process_id(child: &Child) -> Result<Pid> {
    i32::try_from(child.id())
        .map(Pid::from_raw)
        .map_err(|_| anyhow!("{} is not a process id", child.id()))
}

fn has_ended(process: Pid) -> Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(process), flags)? != WaitStatus::StillAlive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Child> {
        use std::os::unix::process::CommandExt;
        Ok(Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?)
    }

    #[test]
    fn processes_left_by_a_job_are_killed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("pid");
        let started = Instant::now();

        let status =
            wait(shell(&format!("sleep 60 & echo $! > '{}'; exit 3", file.display()))?, || Ok(()))?;

        assert_eq!(status.code(), Some(3));
        let left_behind: i32 = fs::read_to_string(file)?.trim().parse()?;
        // A killed process either no longer exists or is a zombie that process 1 has not reaped yet.
        let ended = || {
            let state = fs::read_to_string(format!("/proc/{left_behind}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !ended() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "process {left_behind} is still running"
            );
            sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    #[test]
    fn a_job_is_stopped_when_a_check_fails_while_it_is_running() -> Result<()> {
        let started = Instant::now();
        let outcome = wait(shell("sleep 60")?, || bail!("the database ended"));
        assert_eq!(
            outcome.err().map(|error| error.to_string()).as_deref(),
            Some("the database ended")
        );
        assert!(started.elapsed() < Duration::from_secs(30));
        Ok(())
    }

    #[test]
    fn the_log_tail_contains_the_last_lines() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("a.log");
        let text: Vec<String> = (1..=9_000).map(|number| format!("line {number}")).collect();
        fs::write(&log, text.join("\n"))?;

        let tail = last_lines(&log)?;

        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("    | line 9000"), "{tail}");
        Ok(())
    }
}

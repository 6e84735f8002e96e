//! Starts and stops `diagflow` processes.

use crate::eventually::LIMIT;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process that is killed on drop.
pub struct Process {
    role: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `diagflow ROLE` with an environment of only `variables`, appending its output to `log`.
    pub fn start(
        role: &'static str,
        variables: &BTreeMap<&'static str, String>,
        log: PathBuf,
    ) -> Process {
        Self::start_wrapped(&[], role, variables, log)
    }

    /// Starts the process through the command `wrapper`, which is passed the process's command line as its last
    /// arguments and must `exec` it.
    pub fn start_wrapped(
        wrapper: &[&str],
        role: &'static str,
        variables: &BTreeMap<&'static str, String>,
        log: PathBuf,
    ) -> Process {
        let output = File::options().create(true).append(true).open(&log).expect("a log file");
        let program = crate::servers::diagflow();
        let mut command = match wrapper.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let child = command
            .arg(role)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start diagflow {role}: {error}"));
        Process { role, child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn memory(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    pub fn peak_memory(&self) -> u64 {
        self.memory_of("VmHWM:")
    }

    fn memory_of(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(mut self) {
        self.child.kill().expect("a killed process");
        self.child.wait().expect("the process ends");
    }

    /// Waits until `http://ADDRESS/ready` returns success.
    pub async fn wait_until_ready(&mut self, address: &str) {
        let started = Instant::now();
        while !is_ready(address).await {
            self.assert_alive();
            assert!(
                started.elapsed() < LIMIT,
                "{} was not ready in time:\n{}",
                self.role,
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGTERM and waits for a clean exit.
    pub async fn stop(mut self) {
        self.terminate();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a process status") {
                assert!(status.success(), "{} ended with {status}:\n{}", self.role, self.log());
                return;
            }
            assert!(
                started.elapsed() < LIMIT,
                "{} did not stop in time:\n{}",
                self.role,
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Suspends the process until [`Process::unfreeze`] is called.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn unfreeze(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, signal).expect("a delivered signal");
    }

    /// # Panics
    ///
    /// Panics with the process's log if it has exited.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a process status") {
            panic!("diagflow {} ended with {status}:\n{}", self.role, self.log());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of diagflow {} ---\n{}", self.role, self.log());
        }
    }
}

async fn is_ready(address: &str) -> bool {
    let response = reqwest::get(format!("http://{address}/ready")).await;
    response.is_ok_and(|response| response.status().is_success())
}

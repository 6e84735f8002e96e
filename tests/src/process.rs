//! A process of the real binary.

use crate::eventually::LIMIT;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process, killed when it is dropped.
pub struct Process {
    role: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `diagflow ROLE` with nothing in its environment but `variables`; its output is appended
    /// to `log`.
    pub fn start(
        role: &'static str,
        variables: &BTreeMap<&'static str, String>,
        log: PathBuf,
    ) -> Process {
        Self::start_wrapped(&[], role, variables, log)
    }

    /// The same by way of another command, which gets the whole command line as its last arguments and must
    /// become that program.
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

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Bytes of memory that it uses now.
    pub fn memory(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    /// Bytes of memory that it used at most.
    pub fn peak_memory(&self) -> u64 {
        self.memory_of("VmHWM:")
    }

    fn memory_of(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Its number in the operating system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without warning, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }

    /// Waits until the process reports at this address, host and port, that it is ready.
    ///
    /// # Panics
    /// When the process ends or takes too long.
    pub async fn wait_until_ready(&mut self, address: &str) {
        let started = Instant::now();
        while !is_ready(address).await {
            self.assert_alive();
            assert!(started.elapsed() < LIMIT, "{} is not ready:\n{}", self.role, self.log());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not end, or not well.
    pub async fn stop(mut self) {
        self.terminate();
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("can be waited for") {
                assert!(status.success(), "{} ended with {status}:\n{}", self.role, self.log());
                return;
            }
            assert!(started.elapsed() < LIMIT, "{} does not end:\n{}", self.role, self.log());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Asks it to end (SIGTERM), without waiting.
    pub fn terminate(&self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, Signal::SIGTERM).expect("signals");
    }

    /// Panics with the log when it has ended by itself.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("can be waited for") {
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

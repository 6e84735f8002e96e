//! `cargo xtask test`: every check and every test there is, against servers of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::folders::{Lock, Workspace, make_private};
use crate::install::Tools;
use crate::process::Servers;
use crate::servers::{self, Accounts, Home, TemporalAddresses};
use crate::steps::Step;
use crate::tally::Tally;
use crate::{cargo, install, interrupt, ports, process, steps};

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Keep the servers' data and logs in .diagflow/test-…
    #[arg(long)]
    keep: bool,
    /// Arguments for `cargo test`, such as a part of a test's name; with any, only tests run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

/// A check that runs before the tests: arguments of cargo, and variables for it.
struct Check {
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const CHECKS: [Check; 3] = [
    Check { arguments: &["fmt", "--all", "--check"], variables: &[] },
    Check {
        arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        variables: &[],
    },
    Check {
        arguments: &["doc", "--workspace", "--no-deps"],
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// What leaves the product's binary and all tests behind, in one build with one set of features: what this
/// compiles, `cargo test` finds again.
const BUILD: [&str; 4] = ["build", "--workspace", "--bins", "--tests"];
/// How long the output of a test run may stay open after its end, held by something that a test left behind.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

/// Runs everything. The last line printed is the count of tests, in the form `N passed, N failed`.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    interrupt::listen()?;
    let workspace = Workspace::open()?;
    // First, because what cannot be had is better known before the long build than after it.
    let tools = install::find_or_install(&workspace)?;
    let mut faults = Vec::new();
    let mut tally = Tally::default();
    if options.filter.is_empty() {
        for check in CHECKS {
            note(cargo::run(&workspace, check.arguments, check.variables), &mut faults)?;
        }
    }
    if note(cargo::run(&workspace, &BUILD, &[]), &mut faults)?.is_some() {
        note(test_with_servers(&workspace, &tools, options, &mut tally), &mut faults)?;
        if tally.is_empty() && faults.is_empty() {
            faults.push("no test ran".to_owned());
        }
    }
    for fault in &faults {
        steps::say(format!("failed: {fault}"));
    }
    // Every fault counts as one failure, beside the failed tests, which are no faults of this list.
    tally.failed += u64::try_from(faults.len())?;
    steps::say(tally);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Notes a fault, so that what follows still runs; a request to stop ends everything.
fn note<T>(outcome: Result<T>, faults: &mut Vec<String>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is::<interrupt::Interrupted>() => Err(error),
        Err(error) => {
            faults.push(format!("{error:#}"));
            Ok(None)
        }
    }
}

/// Runs the tests beside fresh servers, and clears those away whatever comes of it.
fn test_with_servers(
    workspace: &Workspace,
    tools: &Tools,
    options: &Options,
    tally: &mut Tally,
) -> Result<()> {
    let folder = TestFolder::make(workspace, options.keep)?;
    let home = Home::open(folder.path.clone())?;
    let mut servers = Servers::default();
    let tested = start(tools, &home, &mut servers).and_then(|variables| {
        run_tests(workspace, &options.filter, &variables, &mut servers, tally)
    });
    steps::say("");
    let stopped = servers.stop_all();
    tested?;
    stopped
}

/// Starts the servers and tells the variables by which tests find them.
fn start(tools: &Tools, home: &Home, servers: &mut Servers) -> Result<Vec<(&'static str, String)>> {
    steps::say("");
    let [mariadb, temporal] = ports::find_free()?;
    servers::start_mariadb(servers, &tools.mariadb, home, mariadb, &Accounts::Tests)?;
    servers::start_temporal(
        servers,
        &tools.temporal,
        home,
        TemporalAddresses { grpc: temporal, ui: None },
    )?;
    let text =
        |path: &Path| path.to_str().map(str::to_owned).context("a path here is not valid text");
    Ok(vec![
        ("DIAGFLOW_TEST_MYSQL_URL", format!("mysql://root@127.0.0.1:{mariadb}")),
        ("DIAGFLOW_TEST_TEMPORAL", format!("127.0.0.1:{temporal}")),
        ("DIAGFLOW_TEST_TEMPORAL_CLI", text(&tools.temporal)?),
        ("DIAGFLOW_TEST_MARIADBD", text(&tools.mariadb.server)?),
        ("DIAGFLOW_TEST_MARIADB_INSTALL_DB", text(&tools.mariadb.install_db)?),
        ("DIAGFLOW_BIN", text(&cargo::product(false)?)?),
    ])
}

fn run_tests(
    workspace: &Workspace,
    filter: &[String],
    variables: &[(&'static str, String)],
    servers: &mut Servers,
    tally: &mut Tally,
) -> Result<()> {
    let arguments = test_arguments(filter);
    let step = Step::begin_streaming(format!("cargo {}", arguments.join(" ")));
    let mut command = cargo::command(workspace, arguments.iter().copied());
    command.envs(variables.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let (counted, ended) = count_while_showing(output);

    let status = process::wait(child, || servers.expect_alive());
    // Ends at once, unless a process outside cargo's group still holds the output: then not waited for.
    let _: Result<(), RecvTimeoutError> = ended.recv_timeout(OUTPUT_PATIENCE);
    *tally = *counted.lock().unwrap_or_else(PoisonError::into_inner);
    if !status?.success() && tally.failed == 0 {
        bail!("cargo test failed before or beside its tests: see above");
    }
    let outcome = format!("cargo test: {tally}");
    if tally.failed == 0 {
        step.done(outcome)
    } else {
        step.fail(outcome)
    }
    Ok(())
}

fn test_arguments(filter: &[String]) -> Vec<&str> {
    let mut arguments = vec!["test", "--no-fail-fast"];
    let chooses_package = |word: &String| word == "-p" || word.starts_with("--package");
    if !filter.iter().take_while(|word| *word != "--").any(chooses_package) {
        arguments.push("--workspace");
    }
    arguments.extend(filter.iter().map(String::as_str));
    arguments
}

/// Shows the output line by line and counts the results in it. The receiver tells when the output ends.
fn count_while_showing(output: ChildStdout) -> (Arc<Mutex<Tally>>, mpsc::Receiver<()>) {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (ended, receiver) = mpsc::channel();
    let shared = Arc::clone(&tally);
    thread::spawn(move || {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Some(Ok(mut line)) = lines.next() {
            shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(&String::from_utf8_lossy(&line));
            line.push(b'\n');
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }
        let _ = ended.send(());
    });
    (tally, receiver)
}

/// A folder that is there for one test run.
struct TestFolder {
    path: PathBuf,
    keep: bool,
    _lock: Lock,
}

impl TestFolder {
    /// Makes a fresh folder, and removes those whose run was killed before it could.
    fn make(workspace: &Workspace, keep: bool) -> Result<Self> {
        remove_leftovers(&workspace.state())?;
        let path = workspace.state().join(format!("test-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        make_private(&path)?;
        let lock = Lock::try_take(&path.join("lock"))?.context("a new folder is locked already")?;
        Ok(Self { path, keep, _lock: lock })
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if self.keep {
            // Without its lock file the folder is no leftover: it was asked for.
            let _ = fs::remove_file(self.path.join("lock"));
            steps::say(format!("Data and logs are kept in {}", self.path.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            steps::say(format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// Removes test folders with a lock that nobody holds.
fn remove_leftovers(state: &Path) -> Result<()> {
    for entry in fs::read_dir(state)?.flatten() {
        let lock = entry.path().join("lock");
        let is_test = entry.file_name().to_string_lossy().starts_with("test-");
        if is_test && lock.exists() && Lock::try_take(&lock)?.is_some() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_runs_that_are_gone_are_removed() -> Result<()> {
        let state = tempfile::tempdir()?;
        for name in ["test-1", "test-2", "test-3", "mariadb"] {
            fs::create_dir(state.path().join(name))?;
        }
        fs::write(state.path().join("test-1/lock"), "1")?;
        let _running = Lock::try_take(&state.path().join("test-2/lock"))?;

        remove_leftovers(state.path())?;

        let exists = |name| state.path().join(name).exists();
        assert!(!exists("test-1"), "its run was killed");
        assert!(exists("test-2"), "its run goes on");
        assert!(exists("test-3"), "it was kept on purpose");
        assert!(exists("mariadb"), "it is no test's");
        Ok(())
    }

    #[test]
    fn a_filter_narrows_the_run_and_may_name_a_package() {
        let arguments = |words: &[&str]| {
            let filter: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            test_arguments(&filter).join(" ")
        };
        assert_eq!(arguments(&[]), "test --no-fail-fast --workspace");
        assert_eq!(arguments(&["upload"]), "test --no-fail-fast --workspace upload");
        assert_eq!(
            arguments(&["-p", "diagflow-api", "upload"]),
            "test --no-fail-fast -p diagflow-api upload"
        );
        assert_eq!(arguments(&["--", "-p"]), "test --no-fail-fast --workspace -- -p");
    }
}

//! `cargo xtask test` starts servers and runs all checks and tests on them.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::install::Tools;
use crate::install::browser::Browser;
use crate::process::Servers;
use crate::progress::Step;
use crate::test_count::TestCount;
use crate::workspace::Workspace;
use crate::{cargo, checks, install, interrupt, process, progress, test_servers};

#[derive(Args)]
pub(crate) struct Options {
    /// Keep the servers' data and logs in .diagflow/test-…
    #[arg(long)]
    keep: bool,
    /// Arguments for `cargo test`, such as part of a test name. If any are given, all other checks are skipped
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

/// Maximum time to wait for the output to end. A process left behind by a test may keep it open.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of parallel tests in addition to one per core. More tests than cores can run because tests mostly wait.
const EXTRA_TEST_THREADS: usize = 2;
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// Runs all checks and tests. The last line of the output is the test count in the form `N passed, N failed`.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    interrupt::install_handler()?;
    let workspace = Workspace::open()?;
    // Tools are installed before the build so that a missing tool is reported early.
    let tools = install::find_or_install(&workspace)?;
    let web = WebTools::find_or_install(&workspace)?;
    let mut failures = Vec::new();
    let mut count = TestCount::default();
    if options.filter.is_empty() {
        for check in checks::list()? {
            collect(cargo::run(&workspace, &check.arguments, &check.variables), &mut failures)?;
        }
    }
    if collect(cargo::run(&workspace, &test_servers::BUILD, &[]), &mut failures)?.is_some() {
        let tested = test_with_servers(&workspace, &tools, &web, options, &mut count);
        collect(tested, &mut failures)?;
        if count.is_empty() && failures.is_empty() {
            failures.push("no tests ran".to_owned());
        }
    }
    for failure in &failures {
        progress::print(format!("failed: {failure}"));
    }
    // In addition to the failed tests, each failed check or build counts as one failure.
    count.failed += u64::try_from(failures.len())?;
    progress::print(format!("took {}", progress::seconds(started.elapsed()).trim_start()));
    progress::print(count);
    Ok(if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Records a failure and lets the remaining steps run. An interrupt is returned as an error and ends the run.
fn collect<T>(outcome: Result<T>, failures: &mut Vec<String>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is::<interrupt::Interrupted>() => Err(error),
        Err(error) => {
            failures.push(format!("{error:#}"));
            Ok(None)
        }
    }
}

/// The programs that only the browser tests need.
struct WebTools {
    browser: Browser,
    nginx: PathBuf,
}

impl WebTools {
    fn find_or_install(workspace: &Workspace) -> Result<Self> {
        let browser = install::browser::find_or_install(workspace)?;
        Ok(Self { browser, nginx: install::nginx::find_or_install(workspace)? })
    }

    fn variables(&self) -> [(&'static str, &Path); 3] {
        [
            ("DIAGFLOW_TEST_CHROMIUM", &self.browser.chromium),
            ("DIAGFLOW_TEST_CHROMEDRIVER", &self.browser.driver),
            ("DIAGFLOW_TEST_NGINX", &self.nginx),
        ]
    }
}

fn test_with_servers(
    workspace: &Workspace,
    tools: &Tools,
    web: &WebTools,
    options: &Options,
    count: &mut TestCount,
) -> Result<()> {
    test_servers::with_servers(workspace, tools, options.keep, |variables, servers| {
        let mut command = test_command(workspace, &options.filter, variables);
        command.envs(web.variables());
        run_tests(command, &options.filter, servers, count)
    })
}

fn test_command(
    workspace: &Workspace,
    filter: &[String],
    variables: &[(&'static str, String)],
) -> Command {
    let mut command = cargo::command(workspace, test_arguments(filter));
    command.envs(variables.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
    if std::env::var_os(TEST_THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        command.env(TEST_THREADS, (cores + EXTRA_TEST_THREADS).to_string());
    }
    command
}

fn run_tests(
    mut command: Command,
    filter: &[String],
    servers: &mut Servers,
    count: &mut TestCount,
) -> Result<()> {
    let step = Step::begin_streaming(format!("cargo {}", test_arguments(filter).join(" ")));
    let mut child = command.spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo's output is not captured")?;
    let (shared_count, ended) = count_and_print(output);

    let status = process::wait(child, || servers.expect_alive());
    // This call returns immediately unless a process outside cargo's process group keeps the output open.
    let _: Result<(), RecvTimeoutError> = ended.recv_timeout(OUTPUT_TIMEOUT);
    *count = *shared_count.lock().unwrap_or_else(PoisonError::into_inner);
    if !status?.success() && count.failed == 0 {
        bail!("cargo test failed, but not because of a failed test; see its output above");
    }
    let outcome = format!("cargo test: {count}");
    if count.failed == 0 {
        step.done(outcome)
    } else {
        step.fail(outcome)
    }
    Ok(())
}

fn test_arguments(filter: &[String]) -> Vec<&str> {
    let options: Vec<&String> = filter.iter().take_while(|word| *word != "--").collect();
    let has = |names: &[&str]| {
        options
            .iter()
            .any(|word| names.contains(&word.split_once('=').map_or(word, |(name, _)| name)))
    };
    let mut arguments = vec!["test", "--no-fail-fast"];
    if !has(&["-p", "--package"]) {
        arguments.push("--workspace");
    }
    // Documentation tests are skipped. There are none, and rustdoc would take seconds per crate to find that out.
    if !has(&["--lib", "--bin", "--bins", "--test", "--tests", "--example", "--examples", "--doc"])
    {
        arguments.push("--tests");
    }
    arguments.extend(filter.iter().map(String::as_str));
    arguments
}

/// Prints the output line by line and counts the test results. The returned receiver gets a message when the output
/// ends.
fn count_and_print(output: ChildStdout) -> (Arc<Mutex<TestCount>>, mpsc::Receiver<()>) {
    let count = Arc::new(Mutex::new(TestCount::default()));
    let (ended, receiver) = mpsc::channel();
    let shared = Arc::clone(&count);
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
    (count, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_passed_on_and_may_include_a_package() {
        let arguments = |words: &[&str]| {
            let filter: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            test_arguments(&filter).join(" ")
        };
        assert_eq!(arguments(&[]), "test --no-fail-fast --workspace --tests");
        assert_eq!(arguments(&["upload"]), "test --no-fail-fast --workspace --tests upload");
        assert_eq!(
            arguments(&["-p", "diagflow-api", "upload"]),
            "test --no-fail-fast --tests -p diagflow-api upload"
        );
        assert_eq!(
            arguments(&["--package=diagflow-api", "--lib"]),
            "test --no-fail-fast --package=diagflow-api --lib"
        );
        assert_eq!(arguments(&["--", "-p"]), "test --no-fail-fast --workspace --tests -- -p");
    }
}

//! Runs rows of the fault table and prints the results. Use `cargo xtask faults` to run this program with the servers
//! it needs.

use clap::Parser;
use diagflow_tests::faults::{self, Invariant, ROWS, Row, RowOutcome};
use futures::StreamExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Number of rows to run concurrently. Several rows can run at once because they mostly wait.
const CONCURRENT_ROWS: usize = 3;
/// Time limit for the whole table, short enough to run the table before every change.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Run the fault table
#[derive(Parser)]
struct Options {
    /// Numbers of the rows to run [default: all]
    #[arg(conflicts_with = "soak")]
    rows: Vec<u8>,
    /// Run simulated patients and staff with random faults for this many minutes, instead of the table
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Seed for random choices [default: a random seed, which is printed]
    #[arg(long, value_name = "N", requires = "soak")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(minutes) = options.soak {
        return soak(minutes, options.seed).await;
    }
    let unknown = options.rows.iter().find(|number| !ROWS.iter().any(|row| row.number == **number));
    if let Some(unknown) = unknown {
        eprintln!("There is no row {unknown}. Rows are numbered 1 to {}.", ROWS.len());
        return ExitCode::FAILURE;
    }
    let chosen =
        ROWS.iter().filter(|row| options.rows.is_empty() || options.rows.contains(&row.number));
    println!("{}", head());
    let started = Instant::now();
    let outcomes = futures::stream::iter(chosen).map(run).buffered(CONCURRENT_ROWS);
    let totals = outcomes
        .fold(Totals::default(), async |totals, (row, outcome)| totals.add(row, &outcome))
        .await;
    totals.print(started.elapsed())
}

#[derive(Default)]
struct Totals {
    rows: usize,
    submissions: usize,
    failed: Vec<u8>,
}

impl Totals {
    fn add(mut self, row: &Row, outcome: &RowOutcome) -> Totals {
        self.rows += 1;
        self.submissions += outcome.report.as_ref().map_or(0, |report| report.submissions);
        if !outcome.passed() {
            self.failed.push(row.number);
        }
        self
    }

    fn print(&self, took: Duration) -> ExitCode {
        let Totals { rows, submissions, failed } = self;
        let (minutes, seconds) = (took.as_secs() / 60, took.as_secs() % 60);
        println!("\n{rows} rows, {submissions} submissions, {} rows failed", failed.len());
        println!("took {minutes} min {seconds} s");
        if !failed.is_empty() {
            println!("failed: {failed:?}");
        }
        if took > LIMIT {
            println!("The run exceeded the limit of {} minutes.", LIMIT.as_secs() / 60);
        }
        if failed.is_empty() && took <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

async fn soak(minutes: u64, seed: Option<u64>) -> ExitCode {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{minutes} minutes with --seed {seed}");
    let soaked = faults::soak(Duration::from_secs(60 * minutes), seed).await;
    for (what, count) in &soaked.counts {
        println!("  {what}: {count}");
    }
    for (end, count) in &soaked.ends {
        println!("  {end}: {count}");
    }
    println!(
        "  acknowledged: {}; invariants held: {}",
        soaked.report.submissions,
        soaked.invariants_held()
    );
    soaked.report.violations.iter().for_each(|violation| println!("  {violation}"));
    if soaked.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(row: &Row) -> (&Row, RowOutcome) {
    let outcome = row.run().await;
    println!("{}", line(row, &outcome));
    match &outcome.report {
        Ok(report) => report.violations.iter().for_each(|violation| println!("      {violation}")),
        Err(why) => println!("      {why}"),
    }
    (row, outcome)
}

fn head() -> String {
    "| row | fault | submissions | invariants held | time |\n|---|---|---|---|---|".to_owned()
}

fn line(row: &Row, outcome: &RowOutcome) -> String {
    let (submissions, held) = match &outcome.report {
        Err(_) => (0, "not completed".to_owned()),
        Ok(report) => {
            let broken = |one: &Invariant| report.violations.iter().any(|it| it.invariant == *one);
            let held: Vec<_> =
                Invariant::ALL.iter().filter(|one| !broken(one)).map(|one| one.name()).collect();
            let held =
                if held.len() == Invariant::ALL.len() { "all".into() } else { held.join(" ") };
            (report.submissions, held)
        }
    };
    let seconds = outcome.took.as_secs_f64();
    format!("| {} | {} | {submissions} | {held} | {seconds:.0} s |", row.number, row.fault)
}

//! Plays rows of the fault table and prints what was found. `cargo xtask faults` runs it, with the servers
//! that it needs.

use clap::Parser;
use diagflow_tests::faults::{self, Invariant, Outcome, ROWS, Row};
use futures::StreamExt;
use std::process::ExitCode;
use std::time::Duration;

/// Rows beside one another: each mostly waits.
const AT_ONCE: usize = 3;

/// Plays the fault table.
#[derive(Parser)]
struct Options {
    /// Rows to play, by number; without any, all of them
    #[arg(conflicts_with = "soak")]
    rows: Vec<u8>,
    /// Instead of the table, mix patients, staff and faults for so many minutes
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// What decides on the mixture; without one, it is chosen and told
    #[arg(long, value_name = "N", requires = "soak")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(minutes) = options.soak {
        return soak(minutes, options.seed).await;
    }
    let unknown = options.rows.iter().find(|wish| !ROWS.iter().any(|row| row.number == **wish));
    if let Some(unknown) = unknown {
        eprintln!("there is no row {unknown}: the table has 1 to {}", ROWS.len());
        return ExitCode::FAILURE;
    }
    let chosen =
        ROWS.iter().filter(|row| options.rows.is_empty() || options.rows.contains(&row.number));
    println!("{}", head());
    let played = futures::stream::iter(chosen).map(play).buffered(AT_ONCE);
    let failed = played.filter(|good| std::future::ready(!good)).count().await;
    println!("\n{failed} rows failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    println!("  promised: {}; invariants held: {}", soaked.report.submissions, soaked.held());
    soaked.report.violations.iter().for_each(|violation| println!("  {violation}"));
    if soaked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn play(row: &Row) -> bool {
    let outcome = row.play().await;
    println!("{}", line(row, &outcome));
    match &outcome.report {
        Ok(report) => report.violations.iter().for_each(|violation| println!("      {violation}")),
        Err(why) => println!("      {why}"),
    }
    outcome.is_good()
}

fn head() -> String {
    "| row | fault | submissions | invariants held | time |\n|---|---|---|---|---|".to_owned()
}

fn line(row: &Row, outcome: &Outcome) -> String {
    let (submissions, held) = match &outcome.report {
        Err(_) => (0, "not played to its end".to_owned()),
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

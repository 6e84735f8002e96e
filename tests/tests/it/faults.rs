//! Runs a few rows of the fault table. `cargo xtask faults` runs all of them.

use diagflow_tests::faults::ROWS;

async fn play(number: u8) {
    let row = ROWS.iter().find(|row| row.number == number).expect("a row");
    let report = row.run().await.report.expect("a report");
    assert!(report.violations.is_empty(), "{}: {:?}", row.fault, report.violations);
    assert!(report.submissions > 0, "no submission was accepted");
}

#[tokio::test]
async fn an_api_killed_before_the_commit_leaves_no_partial_data() {
    play(1).await;
}

#[tokio::test]
async fn an_api_killed_before_responding_stores_the_submission_once() {
    play(2).await;
}

#[tokio::test]
async fn the_sweeper_starts_a_run_whose_api_was_killed_before_the_start() {
    play(3).await;
}

#[tokio::test]
async fn a_temporal_outage_delays_submissions_and_loses_none() {
    play(9).await;
}

#[test]
fn fault_rows_are_numbered_without_gaps() {
    let numbers: Vec<_> = ROWS.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
}

//! A short selection of the fault table; `cargo xtask faults` plays all of it.

use diagflow_tests::faults::ROWS;

/// Plays a row, by number.
async fn holds(number: u8) {
    let row = ROWS.iter().find(|row| row.number == number).expect("such a row");
    let report = row.play().await.report.expect("played to its end");
    assert!(report.violations.is_empty(), "{}: {:?}", row.fault, report.violations);
    assert!(report.submissions > 0, "something was promised");
}

#[tokio::test]
async fn an_api_that_is_killed_before_the_commit_leaves_nothing_half_made() {
    holds(1).await;
}

#[tokio::test]
async fn an_api_that_is_killed_before_its_answer_has_stored_the_submission_once() {
    holds(2).await;
}

#[tokio::test]
async fn an_api_that_is_killed_before_the_start_leaves_it_to_the_sweeper() {
    holds(3).await;
}

#[tokio::test]
async fn a_temporal_server_that_is_down_delays_and_loses_nothing() {
    holds(9).await;
}

#[test]
fn the_rows_are_numbered_as_the_table_is() {
    let numbers: Vec<_> = ROWS.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
}

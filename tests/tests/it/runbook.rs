//! The runbook explains every failure code, and no others.

use diagflow_store::FailureCode;
use diagflow_workflows::contract::{
    CODE_CANCELLED, CODE_DEADLINE_EXCEEDED, CODE_MAIL_FAILED, CODE_MAIL_UNKNOWN, CODE_SUPERSEDED,
};
use std::collections::BTreeSet;
use strum::IntoEnumIterator;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// The codes in the runbook's tables with a column `code`: first the codes of retried attempts, then
/// the others.
fn documented() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut retryable, mut others) = (BTreeSet::new(), BTreeSet::new());
    let mut table: Option<(usize, bool)> = None;
    for line in RUNBOOK.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let Some((column, is_retried)) = table else {
            let column = cells.iter().position(|cell| *cell == "code");
            table = column.map(|column| (column, cells.contains(&"waits for")));
            continue;
        };
        let Some(cell) = cells.get(column) else {
            table = None;
            continue;
        };
        let codes = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        if is_retried { &mut retryable } else { &mut others }.extend(codes);
    }
    (retryable, others)
}

#[test]
fn the_runbook_explains_every_failure_code() {
    let (documented_retryable, documented_others) = documented();
    let (retryable, last): (Vec<_>, Vec<_>) =
        FailureCode::iter().partition(|code| code.is_retryable());
    let names = |codes: Vec<FailureCode>| codes.iter().map(FailureCode::to_string).collect();
    let (retryable, last): (BTreeSet<String>, BTreeSet<String>) = (names(retryable), names(last));
    assert_eq!(documented_retryable, retryable, "the table of codes that are retried");
    let missing: Vec<_> = last.difference(&documented_others).collect();
    assert!(missing.is_empty(), "not in the runbook: {missing:?}");
    let unknown: Vec<_> = documented_others.difference(&last).collect();
    assert!(
        unknown.iter().all(|code| retryable.contains(*code)),
        "in the runbook, but not a failure code: {unknown:?}"
    );
}

/// The workflow crate depends on no other workspace member, so it has its own constants.
#[test]
fn the_codes_of_the_workflow_are_failure_codes() {
    assert_eq!(CODE_DEADLINE_EXCEEDED, FailureCode::DeadlineExceeded.as_str());
    assert_eq!(CODE_CANCELLED, FailureCode::Cancelled.as_str());
    assert_eq!(CODE_SUPERSEDED, FailureCode::Superseded.as_str());
    assert_eq!(CODE_MAIL_FAILED, FailureCode::MailFailed.as_str());
    assert_eq!(CODE_MAIL_UNKNOWN, FailureCode::MailUnknown.as_str());
}

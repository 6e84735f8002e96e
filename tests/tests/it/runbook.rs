//! Checks that the runbook explains every failure code and no nonexistent ones.

use diagflow_store::FailureCode;
use diagflow_workflows::contract::{
    CODE_CANCELLED, CODE_DEADLINE_EXCEEDED, CODE_MAIL_FAILED, CODE_MAIL_UNKNOWN,
    CODE_RESULT_UNREADABLE, CODE_SUPERSEDED,
};
use std::collections::BTreeSet;
use strum::IntoEnumIterator;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// Reads the `code` columns of the runbook's tables. Returns the codes of retried attempts and, separately, all other
/// codes.
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
    assert_eq!(
        documented_retryable, retryable,
        "the runbook's table of retried codes differs from the retryable codes"
    );
    let missing: Vec<_> = last.difference(&documented_others).collect();
    assert!(missing.is_empty(), "the runbook does not explain {missing:?}");
    let unknown: Vec<_> = documented_others.difference(&last).collect();
    assert!(
        unknown.iter().all(|code| retryable.contains(*code)),
        "the runbook explains codes that are not failure codes: {unknown:?}"
    );
}

/// The workflow crate defines its own failure code constants because it depends on no other workspace member.
#[test]
fn every_failure_code_of_the_workflow_exists_in_the_store() {
    assert_eq!(CODE_DEADLINE_EXCEEDED, FailureCode::DeadlineExceeded.as_str());
    assert_eq!(CODE_CANCELLED, FailureCode::Cancelled.as_str());
    assert_eq!(CODE_RESULT_UNREADABLE, FailureCode::ResultUnreadable.as_str());
    assert_eq!(CODE_SUPERSEDED, FailureCode::Superseded.as_str());
    assert_eq!(CODE_MAIL_FAILED, FailureCode::MailFailed.as_str());
    assert_eq!(CODE_MAIL_UNKNOWN, FailureCode::MailUnknown.as_str());
}

//! Tests that each invariant check detects snapshots that violate the invariant.

use super::super::acknowledged::{AcknowledgedSubmission, ExpectedEnd};
use super::*;
use crate::client::AcceptedSubmission;
use chrono::Utc;
use diagflow_simulators::loopai::{ExecutionRecord, ExecutionState, ImageRecord};
use serde_json::json;

const STEPS: [(&str, &str); 5] = [
    ("received", "pending"),
    ("diagnosing", "processing"),
    ("completed", "completed"),
    ("result_ready", "completed"),
    ("mail_sent", "completed"),
];

fn acknowledged() -> AcknowledgedSubmission {
    let accepted = AcceptedSubmission {
        submission_id: "s".to_owned(),
        access_token: String::new(),
        status_url: String::new(),
        events_url: String::new(),
    };
    AcknowledgedSubmission {
        accepted,
        email: "ana@example.org".to_owned(),
        comments: "itches".to_owned(),
        photos: vec!["digest".to_owned()],
        cleaned_photos: vec!["cleaned".to_owned()],
        consent_version: "2026-11".to_owned(),
        staff_actions: vec!["submission_retry"],
        allowed_ends: vec![ExpectedEnd::COMPLETED],
        is_erased: false,
    }
}

/// Returns a completed submission whose patient has been notified.
fn valid() -> (Vec<AcknowledgedSubmission>, Snapshot) {
    let id = || "s".to_owned();
    let acknowledged = acknowledged();
    let events: Vec<_> = (1..)
        .zip(STEPS)
        .map(|(number, (step, status))| EventRow {
            submission_id: id(),
            number,
            step: step.to_owned(),
            status: status.to_owned(),
        })
        .collect();
    let received = events[..4].iter().map(|event| ReceivedEvent {
        number: event.number,
        status: event.status.clone(),
        step: event.step.clone(),
    });
    let snapshot = Snapshot {
        submissions: vec![SubmissionRow {
            id: id(),
            email: acknowledged.email.clone(),
            comments: acknowledged.comments.clone(),
            consent_version: acknowledged.consent_version.clone(),
            status: "completed".to_owned(),
            run_number: 1,
            last_event: 5,
            is_erased: false,
            error_code: None,
        }],
        runs: vec![RunRow { submission_id: id(), number: 1, execution: Some("e".to_owned()) }],
        results: vec![ResultRow { submission_id: id(), run_number: 1, body: result() }],
        deliveries: vec![DeliveryRow {
            id: "d".to_owned(),
            submission_id: id(),
            run_number: 1,
            kind: "result".to_owned(),
            status: "sent".to_owned(),
            error_code: None,
            is_copy: false,
        }],
        files: vec![FileRow { submission_id: id(), sha256: "digest".to_owned() }],
        audit: vec![AuditRow { action: "submission_retry".to_owned(), object_id: id() }],
        intact_files: vec!["digest".to_owned()],
        documents: vec![(id(), json!({"status": "completed", "result": result()}))],
        executions: vec![execution()],
        mails: vec![mail("d")],
        listeners: vec![ListenerRecord {
            submission_id: id(),
            received: received.collect(),
            is_done: true,
            refused: vec![],
        }],
        events,
        audit_error: None,
        open_workflows: Vec::new(),
        not_recovered: None,
    };
    (vec![acknowledged], snapshot)
}

fn result() -> Value {
    json!({"summary": "benign"})
}

fn mail(delivery: &str) -> AcceptedMail {
    AcceptedMail {
        delivery_id: delivery.to_owned(),
        to: vec!["ana@example.org".to_owned()],
        subject: "Your diagnosis result".to_owned(),
        text: "Reference: s".to_owned(),
    }
}

fn execution() -> ExecutionRecord {
    ExecutionRecord {
        execution_id: "e".to_owned(),
        agent_id: "1".to_owned(),
        submission_id: Some("s".to_owned()),
        client_reference: Some("s-1".to_owned()),
        comments: None,
        idempotency_key: None,
        scenario: String::new(),
        state: ExecutionState::Completed,
        created_at: Utc::now(),
        finished_at: None,
        creations: 1,
        repeats: 0,
        polls: 1,
        last_polled_at: None,
        images: vec![image("cleaned")],
        measured: true,
        contains_email: false,
        email_paths: Vec::new(),
        result: Some(result()),
        error: None,
    }
}

fn image(sha256: &str) -> ImageRecord {
    ImageRecord {
        name: "photo".to_owned(),
        media_type: None,
        source: "data",
        size: None,
        sha256: Some(sha256.to_owned()),
        sha256_matches: None,
    }
}

type Damage = fn(&mut Snapshot);

fn assert_each_violates(invariant: Invariant, changes: &[Damage]) {
    for (number, change) in changes.iter().enumerate() {
        let (acknowledged, mut snapshot) = valid();
        change(&mut snapshot);
        let found = check(&acknowledged, &snapshot, Tolerances::default());
        let is_found = found.iter().any(|violation| violation.invariant == invariant);
        assert!(is_found, "change {number} is not detected: {found:?}");
    }
}

#[test]
fn a_consistent_snapshot_has_no_violations() {
    let (acknowledged, snapshot) = valid();
    assert_eq!(check(&acknowledged, &snapshot, Tolerances::default()), []);
}

#[test]
fn i1_each_submission_must_reach_exactly_one_terminal_state() {
    assert_each_violates(
        Invariant::OneEnd,
        &[
            |snapshot| snapshot.submissions[0].status = "processing".to_owned(),
            |snapshot| snapshot.submissions[0].status = "failed".to_owned(),
            |snapshot| snapshot.events[4].step = "failed".to_owned(),
            |snapshot| snapshot.events[3].step = "failed".to_owned(),
            |snapshot| snapshot.events[2].step = "retried".to_owned(),
            |snapshot| snapshot.documents[0].1["status"] = json!("processing"),
            |snapshot| snapshot.documents.clear(),
            // In this snapshot, a repeated request created a second submission.
            |snapshot| {
                let second =
                    SubmissionRow { id: "t".to_owned(), ..snapshot.submissions[0].clone() };
                snapshot.submissions.push(second);
            },
            |snapshot| snapshot.open_workflows.push("diagnosis-s".to_owned()),
            // In this snapshot, all records are consistent, but the submission was not allowed to fail.
            |snapshot| fail(snapshot, "loopai_failed"),
        ],
    );
}

/// Changes all records as if the submission had failed with this code.
fn fail(snapshot: &mut Snapshot, code: &str) {
    let failed = || "failed".to_owned();
    snapshot.submissions[0].status = failed();
    snapshot.submissions[0].error_code = Some(code.to_owned());
    snapshot.events.truncate(4);
    snapshot.events.remove(3);
    snapshot.events[2].step = failed();
    snapshot.events[2].status = failed();
    snapshot.submissions[0].last_event = 3;
    snapshot.listeners[0].received.truncate(2);
    snapshot.listeners[0].received.push(ReceivedEvent {
        number: 3,
        status: failed(),
        step: failed(),
    });
    snapshot.documents[0].1 = json!({"status": "failed"});
    snapshot.results.clear();
    snapshot.deliveries[0].kind = failed();
    snapshot.mails[0].subject = "We could not complete your diagnosis".to_owned();
    snapshot.executions[0].state = ExecutionState::Failed;
    snapshot.executions[0].result = None;
}

#[test]
fn i1_an_earlier_run_must_have_ended_in_an_allowed_way() {
    let (mut acknowledged, mut snapshot) = valid();
    let mut steps = vec![("failed", "failed"), ("retried", "pending")];
    steps.extend(STEPS[1..].iter());
    steps.insert(0, STEPS[0]);
    snapshot.events = (1..)
        .zip(steps)
        .map(|(number, (step, status))| EventRow {
            submission_id: "s".to_owned(),
            number,
            step: step.to_owned(),
            status: status.to_owned(),
        })
        .collect();
    snapshot.submissions[0].last_event = 7;
    snapshot.listeners.clear();
    let found = check(&acknowledged, &snapshot, Tolerances::default());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].invariant, Invariant::OneEnd);
    acknowledged[0].allowed_ends.push(ExpectedEnd::failed("loopai_failed"));
    assert_eq!(check(&acknowledged, &snapshot, Tolerances::default()), []);
}

#[test]
fn i1_a_failure_must_have_an_allowed_code() {
    let (mut acknowledged, mut snapshot) = valid();
    acknowledged[0].allowed_ends.push(ExpectedEnd::failed("loopai_failed"));
    fail(&mut snapshot, "loopai_failed");
    assert_eq!(check(&acknowledged, &snapshot, Tolerances::default()), []);
    snapshot.executions[0].state = ExecutionState::Completed;
    let found = check(&acknowledged, &snapshot, Tolerances::default());
    assert_eq!(found[0].invariant, Invariant::NothingLost, "LoopAI has a result: {found:?}");

    let (_, mut snapshot) = valid();
    fail(&mut snapshot, "loopai_gone");
    let found = check(&acknowledged, &snapshot, Tolerances::default());
    assert_eq!(found[0].invariant, Invariant::OneEnd, "{found:?}");
}

#[test]
fn i2_lost_or_changed_data_is_a_violation() {
    assert_each_violates(
        Invariant::NothingLost,
        &[
            |snapshot| snapshot.submissions.clear(),
            |snapshot| snapshot.submissions[0].email = "ben@example.org".to_owned(),
            |snapshot| snapshot.submissions[0].comments.clear(),
            |snapshot| snapshot.submissions[0].consent_version.clear(),
            |snapshot| snapshot.files.clear(),
            |snapshot| snapshot.files[0].sha256 = "other".to_owned(),
            |snapshot| snapshot.intact_files.clear(),
            |snapshot| snapshot.results.clear(),
            |snapshot| snapshot.results[0].run_number = 2,
            |snapshot| snapshot.results[0].body = json!({"summary": "another result"}),
            |snapshot| snapshot.documents[0].1["result"] = json!({"summary": "another result"}),
            |snapshot| snapshot.runs[0].execution = None,
            |snapshot| snapshot.runs[0].execution = Some("another".to_owned()),
            |snapshot| snapshot.executions[0].result = None,
            |snapshot| snapshot.executions[0].images[0] = image("other"),
            |snapshot| snapshot.executions[0].images.clear(),
            |snapshot| snapshot.documents[0].1["result"] = json!(null),
            |snapshot| drop(snapshot.events.remove(1)),
            |snapshot| snapshot.submissions[0].last_event = 6,
            |snapshot| snapshot.deliveries.clear(),
            |snapshot| snapshot.audit.clear(),
            |snapshot| snapshot.audit_error = Some("entry 3 was changed".to_owned()),
        ],
    );
}

#[test]
fn i3_a_second_execution_is_a_violation() {
    let twice: Damage = |snapshot| {
        let second = ExecutionRecord { execution_id: "f".to_owned(), ..execution() };
        snapshot.executions.push(second);
    };
    assert_each_violates(
        Invariant::OneExecution,
        &[
            twice,
            |snapshot| snapshot.executions.clear(),
            |snapshot| snapshot.executions[0].client_reference = None,
            |snapshot| snapshot.executions[0].client_reference = Some("s-2".to_owned()),
            |snapshot| snapshot.executions[0].contains_email = true,
        ],
    );

    let (acknowledged, mut snapshot) = valid();
    twice(&mut snapshot);
    let without_keys = Tolerances { executions_per_run: 2, ..Tolerances::default() };
    assert_eq!(check(&acknowledged, &snapshot, without_keys), [], "two executions are allowed");

    let (acknowledged, mut snapshot) = valid();
    snapshot.runs.push(RunRow { number: 2, execution: None, ..snapshot.runs[0].clone() });
    let of_next_run = Some("s-2".to_owned());
    snapshot.executions.push(ExecutionRecord { client_reference: of_next_run, ..execution() });
    assert_eq!(
        check(&acknowledged, &snapshot, Tolerances::default()),
        [],
        "each run may have an execution"
    );
}

#[test]
fn i4_a_second_email_is_a_violation_unless_the_delivery_is_unknown() {
    assert_each_violates(
        Invariant::OneMail,
        &[
            |snapshot| snapshot.mails.push(snapshot.mails[0].clone()),
            |snapshot| snapshot.mails.clear(),
            |snapshot| snapshot.mails[0].delivery_id = "nobody's".to_owned(),
            |snapshot| snapshot.deliveries[0].status = "failed".to_owned(),
            |snapshot| {
                snapshot.deliveries[0].status = "planned".to_owned();
                snapshot.mails.clear();
            },
            |snapshot| {
                snapshot.deliveries[0].status = "failed".to_owned();
                snapshot.deliveries[0].error_code = Some("superseded".to_owned());
                snapshot.mails.clear();
            },
            |snapshot| snapshot.mails[0].to = vec!["ben@example.org".to_owned()],
            |snapshot| snapshot.mails[0].to.push("ben@example.org".to_owned()),
            |snapshot| snapshot.mails[0].subject = "Your submission was cancelled".to_owned(),
            |snapshot| snapshot.mails[0].text = "Reference: t".to_owned(),
            |snapshot| {
                snapshot.deliveries[0].status = "unknown".to_owned();
                snapshot.mails.push(snapshot.mails[0].clone());
            },
            |snapshot| {
                let second = DeliveryRow { id: "e".to_owned(), ..snapshot.deliveries[0].clone() };
                snapshot.deliveries.push(second);
                snapshot.mails.push(mail("e"));
            },
        ],
    );
    for mails in [0, 1] {
        let (acknowledged, mut snapshot) = valid();
        snapshot.deliveries[0].status = "unknown".to_owned();
        snapshot.mails.truncate(mails);
        let tolerances =
            Tolerances { delivery_statuses: &["sent", "unknown"], ..Tolerances::default() };
        assert_eq!(
            check(&acknowledged, &snapshot, tolerances),
            [],
            "{mails} e-mails for an unknown delivery"
        );
        let found = check(&acknowledged, &snapshot, Tolerances::default());
        assert_eq!(found.len(), 1, "the status `unknown` is not allowed by default: {found:?}");
    }
}

#[test]
fn i5_a_missing_or_repeated_event_is_a_violation() {
    assert_each_violates(
        Invariant::CompleteStream,
        &[
            |snapshot| drop(snapshot.listeners[0].received.remove(1)),
            |snapshot| drop(snapshot.listeners[0].received.remove(0)),
            |snapshot| {
                let twice = snapshot.listeners[0].received[1].clone();
                snapshot.listeners[0].received.insert(1, twice);
            },
            |snapshot| snapshot.listeners[0].received.swap(0, 1),
            |snapshot| snapshot.listeners[0].received[1].status = "failed".to_owned(),
            |snapshot| snapshot.listeners[0].received.truncate(2),
            |snapshot| snapshot.listeners[0].is_done = false,
            |snapshot| snapshot.listeners[0].refused.push(reqwest::StatusCode::NOT_FOUND),
        ],
    );
}

#[test]
fn i6_a_service_that_does_not_recover_is_a_violation() {
    assert_each_violates(
        Invariant::Recovers,
        &[|snapshot| snapshot.not_recovered = Some("no submission was accepted".to_owned())],
    );
}

//! Each invariant, in a world where it must fail.

use super::super::ledger::{Acknowledged, End};
use super::*;
use crate::client::Accepted;
use chrono::Utc;
use diagflow_simulators::loopai::{ExecutionRecord, ExecutionState, ImageRecord};
use serde_json::json;

const STORY: [(&str, &str); 5] = [
    ("received", "pending"),
    ("diagnosing", "processing"),
    ("completed", "completed"),
    ("result_ready", "completed"),
    ("mail_sent", "completed"),
];

/// A submission that completed, was told, and of which everything is there.
fn good() -> (Vec<Acknowledged>, Observed) {
    let id = || "s".to_owned();
    let accepted = Accepted {
        submission_id: id(),
        access_token: String::new(),
        status_url: String::new(),
        events_url: String::new(),
    };
    let promised = Acknowledged {
        accepted,
        email: "ana@example.org".to_owned(),
        comments: "itches".to_owned(),
        photos: vec!["digest".to_owned()],
        consent_version: "2026-11".to_owned(),
        moves: vec!["submission_retry"],
        ends: vec![End::COMPLETED],
    };
    let events: Vec<_> = (1..)
        .zip(STORY)
        .map(|(number, (step, status))| EventRow {
            submission_id: id(),
            number,
            step: step.to_owned(),
            status: status.to_owned(),
        })
        .collect();
    let heard = events[..4].iter().map(|event| Heard {
        number: event.number,
        status: event.status.clone(),
        step: event.step.clone(),
    });
    let seen = Observed {
        submissions: vec![SubmissionRow {
            id: id(),
            email: promised.email.clone(),
            comments: promised.comments.clone(),
            consent_version: promised.consent_version.clone(),
            status: "completed".to_owned(),
            run_number: 1,
            last_event: 5,
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
        whole_files: vec!["digest".to_owned()],
        documents: vec![(id(), json!({"status": "completed", "result": result()}))],
        executions: vec![execution()],
        mails: vec![mail("d")],
        hearings: vec![Hearing {
            submission_id: id(),
            heard: heard.collect(),
            is_done: true,
            refused: vec![],
        }],
        events,
        audit_fault: None,
        open_workflows: Vec::new(),
        stays_away: None,
    };
    (vec![promised], seen)
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
        images: vec![image("digest")],
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

/// A change of the good world.
type Wrong = fn(&mut Observed);

/// Each of these changes breaks this invariant, and is found.
fn all_break(invariant: Invariant, wrongs: &[Wrong]) {
    for (place, wrong) in wrongs.iter().enumerate() {
        let (promised, mut seen) = good();
        wrong(&mut seen);
        let found = judge(&promised, &seen, Terms::default());
        let is_found = found.iter().any(|violation| violation.invariant == invariant);
        assert!(is_found, "change {place} is not found: {found:?}");
    }
}

#[test]
fn a_world_that_is_whole_is_not_found_fault_with() {
    let (promised, seen) = good();
    assert_eq!(judge(&promised, &seen, Terms::default()), []);
}

#[test]
fn i1_every_submission_has_exactly_one_end() {
    all_break(
        Invariant::OneEnd,
        &[
            |seen| seen.submissions[0].status = "processing".to_owned(),
            |seen| seen.submissions[0].status = "failed".to_owned(),
            |seen| seen.events[4].step = "failed".to_owned(),
            |seen| seen.events[3].step = "failed".to_owned(),
            |seen| seen.events[2].step = "retried".to_owned(),
            |seen| seen.documents[0].1["status"] = json!("processing"),
            |seen| seen.documents.clear(),
            // A repeat that became a submission of its own.
            |seen| {
                let second = SubmissionRow { id: "t".to_owned(), ..seen.submissions[0].clone() };
                seen.submissions.push(second);
            },
            |seen| seen.open_workflows.push("diagnosis-s".to_owned()),
            // All of it agrees, but this submission had no reason to fail.
            |seen| fail(seen, "loopai_failed"),
        ],
    );
}

/// Everybody says that the submission failed, for this reason.
fn fail(seen: &mut Observed, code: &str) {
    let failed = || "failed".to_owned();
    seen.submissions[0].status = failed();
    seen.submissions[0].error_code = Some(code.to_owned());
    seen.events.truncate(4);
    seen.events.remove(3);
    seen.events[2].step = failed();
    seen.events[2].status = failed();
    seen.submissions[0].last_event = 3;
    seen.hearings[0].heard.truncate(2);
    seen.hearings[0].heard.push(Heard { number: 3, status: failed(), step: failed() });
    seen.documents[0].1 = json!({"status": "failed"});
    seen.results.clear();
    seen.deliveries[0].kind = failed();
    seen.mails[0].subject = "We could not complete your diagnosis".to_owned();
    seen.executions[0].state = ExecutionState::Failed;
    seen.executions[0].result = None;
}

#[test]
fn an_earlier_run_may_not_end_any_way_either() {
    let (mut promised, mut seen) = good();
    let mut story = vec![("failed", "failed"), ("retried", "pending")];
    story.extend(STORY[1..].iter());
    story.insert(0, STORY[0]);
    seen.events = (1..)
        .zip(story)
        .map(|(number, (step, status))| EventRow {
            submission_id: "s".to_owned(),
            number,
            step: step.to_owned(),
            status: status.to_owned(),
        })
        .collect();
    seen.submissions[0].last_event = 7;
    seen.hearings.clear();
    let found = judge(&promised, &seen, Terms::default());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].invariant, Invariant::OneEnd);
    promised[0].ends.push(End::failed("loopai_failed"));
    assert_eq!(judge(&promised, &seen, Terms::default()), []);
}

#[test]
fn who_may_fail_may_do_so_for_this_reason_only() {
    let (mut promised, mut seen) = good();
    promised[0].ends.push(End::failed("loopai_failed"));
    fail(&mut seen, "loopai_failed");
    assert_eq!(judge(&promised, &seen, Terms::default()), []);
    seen.executions[0].state = ExecutionState::Completed;
    let found = judge(&promised, &seen, Terms::default());
    assert_eq!(found[0].invariant, Invariant::NothingLost, "LoopAI has its result: {found:?}");

    let (_, mut seen) = good();
    fail(&mut seen, "loopai_gone");
    let found = judge(&promised, &seen, Terms::default());
    assert_eq!(found[0].invariant, Invariant::OneEnd, "{found:?}");
}

#[test]
fn i2_nothing_acknowledged_is_lost() {
    all_break(
        Invariant::NothingLost,
        &[
            |seen| seen.submissions.clear(),
            |seen| seen.submissions[0].email = "ben@example.org".to_owned(),
            |seen| seen.submissions[0].comments.clear(),
            |seen| seen.submissions[0].consent_version.clear(),
            |seen| seen.files.clear(),
            |seen| seen.files[0].sha256 = "other".to_owned(),
            |seen| seen.whole_files.clear(),
            |seen| seen.results.clear(),
            |seen| seen.results[0].run_number = 2,
            |seen| seen.results[0].body = json!({"summary": "of somebody else"}),
            |seen| seen.documents[0].1["result"] = json!({"summary": "of somebody else"}),
            |seen| seen.runs[0].execution = None,
            |seen| seen.runs[0].execution = Some("another".to_owned()),
            |seen| seen.executions[0].result = None,
            |seen| seen.executions[0].images[0] = image("other"),
            |seen| seen.executions[0].images.clear(),
            |seen| seen.documents[0].1["result"] = json!(null),
            |seen| drop(seen.events.remove(1)),
            |seen| seen.submissions[0].last_event = 6,
            |seen| seen.deliveries.clear(),
            |seen| seen.audit.clear(),
            |seen| seen.audit_fault = Some("line 3 was changed".to_owned()),
        ],
    );
}

#[test]
fn i3_loopai_runs_once_for_each_run() {
    let twice: Wrong = |seen| {
        let second = ExecutionRecord { execution_id: "f".to_owned(), ..execution() };
        seen.executions.push(second);
    };
    all_break(
        Invariant::OneExecution,
        &[
            twice,
            |seen| seen.executions.clear(),
            |seen| seen.executions[0].client_reference = None,
            |seen| seen.executions[0].client_reference = Some("s-2".to_owned()),
            |seen| seen.executions[0].contains_email = true,
        ],
    );

    let (promised, mut seen) = good();
    twice(&mut seen);
    let without_keys = Terms { executions_per_run: 2, ..Terms::default() };
    assert_eq!(judge(&promised, &seen, without_keys), [], "the documented window");

    let (promised, mut seen) = good();
    seen.runs.push(RunRow { number: 2, execution: None, ..seen.runs[0].clone() });
    let of_next_run = Some("s-2".to_owned());
    seen.executions.push(ExecutionRecord { client_reference: of_next_run, ..execution() });
    assert_eq!(judge(&promised, &seen, Terms::default()), [], "another run asks again");
}

#[test]
fn i4_nobody_is_mailed_twice_unless_the_ledger_says_that_it_does_not_know() {
    all_break(
        Invariant::OneMail,
        &[
            |seen| seen.mails.push(seen.mails[0].clone()),
            |seen| seen.mails.clear(),
            |seen| seen.mails[0].delivery_id = "nobody's".to_owned(),
            |seen| seen.deliveries[0].status = "failed".to_owned(),
            |seen| {
                seen.deliveries[0].status = "planned".to_owned();
                seen.mails.clear();
            },
            |seen| {
                seen.deliveries[0].status = "failed".to_owned();
                seen.deliveries[0].error_code = Some("superseded".to_owned());
                seen.mails.clear();
            },
            |seen| seen.mails[0].to = vec!["ben@example.org".to_owned()],
            |seen| seen.mails[0].to.push("ben@example.org".to_owned()),
            |seen| seen.mails[0].subject = "Your submission was cancelled".to_owned(),
            |seen| seen.mails[0].text = "Reference: t".to_owned(),
            |seen| {
                seen.deliveries[0].status = "unknown".to_owned();
                seen.mails.push(seen.mails[0].clone());
            },
            |seen| {
                let second = DeliveryRow { id: "e".to_owned(), ..seen.deliveries[0].clone() };
                seen.deliveries.push(second);
                seen.mails.push(mail("e"));
            },
        ],
    );
    for mails in [0, 1] {
        let (promised, mut seen) = good();
        seen.deliveries[0].status = "unknown".to_owned();
        seen.mails.truncate(mails);
        let terms = Terms { mails: &["sent", "unknown"], ..Terms::default() };
        assert_eq!(judge(&promised, &seen, terms), [], "{mails}, and it says so");
        let found = judge(&promised, &seen, Terms::default());
        assert_eq!(found.len(), 1, "without a reason it is known: {found:?}");
    }
}

#[test]
fn i5_a_listener_hears_the_whole_story_once() {
    all_break(
        Invariant::WholeStory,
        &[
            |seen| drop(seen.hearings[0].heard.remove(1)),
            |seen| drop(seen.hearings[0].heard.remove(0)),
            |seen| {
                let twice = seen.hearings[0].heard[1].clone();
                seen.hearings[0].heard.insert(1, twice);
            },
            |seen| seen.hearings[0].heard.swap(0, 1),
            |seen| seen.hearings[0].heard[1].status = "failed".to_owned(),
            |seen| seen.hearings[0].heard.truncate(2),
            |seen| seen.hearings[0].is_done = false,
            |seen| seen.hearings[0].refused.push(reqwest::StatusCode::NOT_FOUND),
        ],
    );
}

#[test]
fn i6_a_service_that_stays_away_is_noticed() {
    all_break(
        Invariant::ComesBack,
        &[|seen| seen.stays_away = Some("no submission is taken any more".to_owned())],
    );
}

//! The six assertions, judged on what was acknowledged and what is seen. Pure, so that each has a test in
//! which it must fail.

mod external;
mod records;
#[cfg(test)]
mod tests;

use super::acknowledged::AcknowledgedSubmission;
use super::listener::ReceivedEvent;
use super::snapshot::{
    AcceptedMail, AuditRow, DeliveryRow, EventRow, FileRow, ListenerRecord, ResultRow, RunRow,
    Snapshot, SubmissionRow,
};
use diagflow_simulators::loopai::ExecutionRecord;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// What must hold after every fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Every submission answered with 202 reaches exactly one terminal state.
    OneEnd,
    /// Nothing acknowledged is lost: submission, file bytes, result, event, audit line.
    NothingLost,
    /// LoopAI ran once for each run.
    OneExecution,
    /// At most one e-mail was accepted for each that is owed, or the ledger says that this is unknown.
    OneMail,
    /// A listener that comes back hears each event once, in order.
    CompleteStream,
    /// The service comes back by itself.
    Recovers,
}

impl Invariant {
    /// All, in the order of their numbers.
    pub const ALL: [Invariant; 6] = [
        Invariant::OneEnd,
        Invariant::NothingLost,
        Invariant::OneExecution,
        Invariant::OneMail,
        Invariant::CompleteStream,
        Invariant::Recovers,
    ];

    /// `I1` to `I6`.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::OneEnd => "I1",
            Invariant::NothingLost => "I2",
            Invariant::OneExecution => "I3",
            Invariant::OneMail => "I4",
            Invariant::CompleteStream => "I5",
            Invariant::Recovers => "I6",
        }
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Of what, and how.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.name(), self.detail)
    }
}

/// What one may expect of the world outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerances {
    /// Executions that LoopAI may create for one run: 1, and 2 where it knows no idempotency key and a request
    /// was repeated (`docs/loopai.md`).
    pub(crate) executions_per_run: usize,
    /// What may have become of an e-mail, in the words of the ledger.
    pub(crate) delivery_statuses: &'static [&'static str],
}

impl Default for Tolerances {
    fn default() -> Self {
        Tolerances { executions_per_run: 1, delivery_statuses: &["sent"] }
    }
}

/// The states that a submission can end in, and the step that tells it.
const TERMINAL: [(&str, &str); 4] = [
    ("completed", "result_ready"),
    ("failed", "failed"),
    ("timed_out", "timed_out"),
    ("cancelled", "cancelled"),
];
/// The step that begins the story of a further run.
const RETRIED: &str = "retried";

/// What does not hold.
pub(crate) fn check(
    acknowledged: &[AcknowledgedSubmission],
    snapshot: &Snapshot,
    tolerances: Tolerances,
) -> Vec<Violation> {
    let mut checker = Checker::new(acknowledged, snapshot, tolerances);
    for submission in acknowledged {
        checker.check_acknowledged(submission);
    }
    checker.check_unacknowledged();
    checker.check_executions();
    checker.check_mails();
    for listener in &snapshot.listeners {
        checker.check_listener(listener);
    }
    for workflow in &snapshot.open_workflows {
        checker.add(Invariant::OneEnd, format!("{workflow} goes on in Temporal"));
    }
    if let Some(fault) = &snapshot.audit_error {
        checker.add(Invariant::NothingLost, format!("the audit does not verify: {fault}"));
    }
    if let Some(reason) = &snapshot.not_recovered {
        checker.add(Invariant::Recovers, reason.clone());
    }
    checker.violations
}

/// What is promised and seen, by whom it is about.
struct Checker<'a> {
    snapshot: &'a Snapshot,
    tolerances: Tolerances,
    acknowledged: HashMap<&'a str, &'a AcknowledgedSubmission>,
    submissions: HashMap<&'a str, &'a SubmissionRow>,
    runs: Grouped<'a, RunRow>,
    results: Grouped<'a, ResultRow>,
    events: Grouped<'a, EventRow>,
    files: Grouped<'a, FileRow>,
    deliveries: Grouped<'a, DeliveryRow>,
    audit: Grouped<'a, AuditRow>,
    mails: Grouped<'a, AcceptedMail>,
    /// By the run that asked for them.
    executions: Grouped<'a, ExecutionRecord>,
    documents: HashMap<&'a str, &'a Value>,
    intact_files: HashSet<&'a str>,
    violations: Vec<Violation>,
}

type Grouped<'a, T> = HashMap<&'a str, Vec<&'a T>>;

fn grouped<T>(rows: &[T], by: impl Fn(&T) -> &str) -> Grouped<'_, T> {
    let mut groups = Grouped::new();
    for row in rows {
        groups.entry(by(row)).or_default().push(row);
    }
    groups
}

impl<'a> Checker<'a> {
    fn new(
        acknowledged: &'a [AcknowledgedSubmission],
        snapshot: &'a Snapshot,
        tolerances: Tolerances,
    ) -> Checker<'a> {
        Checker {
            snapshot,
            tolerances,
            acknowledged: acknowledged
                .iter()
                .map(|one| (one.accepted.submission_id.as_str(), one))
                .collect(),
            submissions: snapshot.submissions.iter().map(|row| (row.id.as_str(), row)).collect(),
            runs: grouped(&snapshot.runs, |run| &run.submission_id),
            results: grouped(&snapshot.results, |result| &result.submission_id),
            events: grouped(&snapshot.events, |event| &event.submission_id),
            files: grouped(&snapshot.files, |file| &file.submission_id),
            deliveries: grouped(&snapshot.deliveries, |delivery| &delivery.submission_id),
            audit: grouped(&snapshot.audit, |entry| &entry.object_id),
            mails: grouped(&snapshot.mails, |mail| &mail.delivery_id),
            executions: grouped(&snapshot.executions, |one| {
                one.client_reference.as_deref().unwrap_or_default()
            }),
            documents: snapshot
                .documents
                .iter()
                .map(|(id, document)| (id.as_str(), document))
                .collect(),
            intact_files: snapshot.intact_files.iter().map(String::as_str).collect(),
            violations: Vec::new(),
        }
    }

    fn add(&mut self, invariant: Invariant, detail: impl Into<String>) {
        self.violations.push(Violation { invariant, detail: detail.into() });
    }

    /// I5: what was heard is the story from its beginning, without gap or repeat; and whoever was told that
    /// nothing follows has heard an end.
    fn check_listener(&mut self, listener: &ListenerRecord) {
        let id = &listener.submission_id;
        let log = self.event_log(id);
        if !log.starts_with(&listener.received) {
            let detail = format!("{id}: heard {:?} of {log:?}", listener.received);
            self.add(Invariant::CompleteStream, detail);
        } else if !listener.received.iter().any(|received| is_terminal_step(&received.step)) {
            self.add(Invariant::CompleteStream, format!("{id}: no end was heard"));
        } else if !listener.is_done {
            self.add(Invariant::CompleteStream, format!("{id}: the stream does not end"));
        }
        if !listener.refused.is_empty() {
            let detail = format!("{id}: the stream was refused by {:?}", listener.refused);
            self.add(Invariant::CompleteStream, detail);
        }
    }

    fn event_log(&self, id: &str) -> Vec<ReceivedEvent> {
        let events = self.events.get(id).into_iter().flatten();
        let received = events.map(|event| ReceivedEvent {
            number: event.number,
            status: event.status.clone(),
            step: event.step.clone(),
        });
        received.collect()
    }

    fn document(&self, id: &str) -> Option<&'a Value> {
        self.documents.get(id).copied()
    }

    /// What LoopAI was asked to do for a run.
    fn executions_of(&self, submission: &str, run: i32) -> Vec<&'a ExecutionRecord> {
        self.executions.get(format!("{submission}-{run}").as_str()).cloned().unwrap_or_default()
    }
}

fn is_terminal_step(step: &str) -> bool {
    TERMINAL.iter().any(|(_, end)| *end == step)
}

//! Checks the six invariants against the acknowledged requests and a snapshot of the system. The checks perform no I/O,
//! so tests can construct violations.

mod erased;
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
use reqwest::StatusCode;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: Every submission that got a 202 response reaches exactly one terminal state.
    OneEnd,
    /// I2: No acknowledged submission, file, result, event or audit entry is lost.
    NothingLost,
    /// I3: Each run has at most one execution at LoopAI.
    OneExecution,
    /// I4: The mail server accepts one e-mail for each `sent` delivery, and at most one for each `unknown` delivery.
    OneMail,
    /// I5: A listener that reconnects receives every event exactly once and in order.
    CompleteStream,
    /// I6: The service recovers without intervention.
    Recovers,
}

impl Invariant {
    pub const ALL: [Invariant; 6] = [
        Invariant::OneEnd,
        Invariant::NothingLost,
        Invariant::OneExecution,
        Invariant::OneMail,
        Invariant::CompleteStream,
        Invariant::Recovers,
    ];

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: Invariant,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.name(), self.detail)
    }
}

/// Deviations from the invariants that are allowed in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerances {
    /// Maximum number of executions per run. This is 2 if a request is repeated and LoopAI ignores idempotency keys
    /// (`docs/loopai.md`).
    pub(crate) executions_per_run: usize,
    pub(crate) delivery_statuses: &'static [&'static str],
}

impl Default for Tolerances {
    fn default() -> Self {
        Tolerances { executions_per_run: 1, delivery_statuses: &["sent"] }
    }
}

/// Terminal statuses, each with the step of its last event.
const TERMINAL: [(&str, &str); 4] = [
    ("completed", "result_ready"),
    ("failed", "failed"),
    ("timed_out", "timed_out"),
    ("cancelled", "cancelled"),
];
/// The step of an erased submission's last event.
const ERASED: &str = "erased";
/// The step of an event that starts another run.
const RETRIED: &str = "retried";

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
        checker.add(Invariant::OneEnd, format!("{workflow} is still open in Temporal"));
    }
    if let Some(fault) = &snapshot.audit_error {
        checker.add(
            Invariant::NothingLost,
            format!("the verification of the audit log failed: {fault}"),
        );
    }
    if let Some(reason) = &snapshot.not_recovered {
        checker.add(Invariant::Recovers, reason.clone());
    }
    checker.violations
}

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
    /// Executions by client reference, which identifies the run.
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

    /// I5: The listener received every event from the first to a terminal one, without gaps or repeats.
    fn check_listener(&mut self, listener: &ListenerRecord) {
        let id = &listener.submission_id;
        let log = self.event_log(id);
        // A client that loses its connection during an erasure gets a 410 and never receives the final event.
        let is_erased = self.submissions.get(id.as_str()).is_some_and(|row| row.is_erased);
        if is_erased
            && listener.refused == [StatusCode::GONE]
            && log.starts_with(&listener.received)
        {
            return;
        }
        if !log.starts_with(&listener.received) {
            let detail = format!("{id}: received {:?} of {log:?}", listener.received);
            self.add(Invariant::CompleteStream, detail);
        } else if !listener.received.iter().any(|received| is_terminal_step(&received.step)) {
            self.add(Invariant::CompleteStream, format!("{id}: no terminal event was received"));
        } else if !listener.is_done {
            self.add(Invariant::CompleteStream, format!("{id}: the stream does not end"));
        }
        if !listener.refused.is_empty() {
            let detail = format!("{id}: the stream was refused with {:?}", listener.refused);
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

    fn executions_of(&self, submission: &str, run: i32) -> Vec<&'a ExecutionRecord> {
        self.executions.get(format!("{submission}-{run}").as_str()).cloned().unwrap_or_default()
    }
}

fn is_terminal_step(step: &str) -> bool {
    step == ERASED || TERMINAL.iter().any(|(_, end)| *end == step)
}

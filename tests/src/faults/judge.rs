//! The six invariants, judged on what was acknowledged and what is seen. Pure, so that each has a test in
//! which it must fail.

mod outside;
mod records;
#[cfg(test)]
mod tests;

use super::ledger::{Acknowledged, Heard};
use super::observe::{
    AcceptedMail, AuditRow, DeliveryRow, EventRow, FileRow, Hearing, Observed, ResultRow, RunRow,
    SubmissionRow,
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
    WholeStory,
    /// The service comes back by itself.
    ComesBack,
}

impl Invariant {
    /// All, in the order of their numbers.
    pub const ALL: [Invariant; 6] = [
        Invariant::OneEnd,
        Invariant::NothingLost,
        Invariant::OneExecution,
        Invariant::OneMail,
        Invariant::WholeStory,
        Invariant::ComesBack,
    ];

    /// `I1` to `I6`.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::OneEnd => "I1",
            Invariant::NothingLost => "I2",
            Invariant::OneExecution => "I3",
            Invariant::OneMail => "I4",
            Invariant::WholeStory => "I5",
            Invariant::ComesBack => "I6",
        }
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Of what, and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.name(), self.what)
    }
}

/// What one may expect of the world outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Executions that LoopAI may create for one run: 1, and 2 where it knows no idempotency key and a request
    /// was repeated (`docs/loopai.md`).
    pub(crate) executions_per_run: usize,
    /// What may have become of an e-mail, in the words of the ledger.
    pub(crate) mails: &'static [&'static str],
}

impl Default for Terms {
    fn default() -> Self {
        Terms { executions_per_run: 1, mails: &["sent"] }
    }
}

/// The states that a submission can end in, and the step that tells it.
const ENDS: [(&str, &str); 4] = [
    ("completed", "result_ready"),
    ("failed", "failed"),
    ("timed_out", "timed_out"),
    ("cancelled", "cancelled"),
];
/// The step that begins the story of a further run.
const AGAIN: &str = "retried";

/// What does not hold.
pub(crate) fn judge(
    acknowledged: &[Acknowledged],
    seen: &Observed,
    terms: Terms,
) -> Vec<Violation> {
    let mut court = Court::new(acknowledged, seen, terms);
    for promised in acknowledged {
        court.promised(promised);
    }
    court.unpromised();
    court.executions();
    court.mails();
    for hearing in &seen.hearings {
        court.hearing(hearing);
    }
    for workflow in &seen.open_workflows {
        court.find(Invariant::OneEnd, format!("{workflow} goes on in Temporal"));
    }
    if let Some(fault) = &seen.audit_fault {
        court.find(Invariant::NothingLost, format!("the audit does not verify: {fault}"));
    }
    if let Some(why) = &seen.stays_away {
        court.find(Invariant::ComesBack, why.clone());
    }
    court.violations
}

/// What is promised and seen, by whom it is about.
struct Court<'a> {
    seen: &'a Observed,
    terms: Terms,
    promises: HashMap<&'a str, &'a Acknowledged>,
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
    whole_files: HashSet<&'a str>,
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

impl<'a> Court<'a> {
    fn new(acknowledged: &'a [Acknowledged], seen: &'a Observed, terms: Terms) -> Court<'a> {
        Court {
            seen,
            terms,
            promises: acknowledged
                .iter()
                .map(|one| (one.accepted.submission_id.as_str(), one))
                .collect(),
            submissions: seen.submissions.iter().map(|row| (row.id.as_str(), row)).collect(),
            runs: grouped(&seen.runs, |run| &run.submission_id),
            results: grouped(&seen.results, |result| &result.submission_id),
            events: grouped(&seen.events, |event| &event.submission_id),
            files: grouped(&seen.files, |file| &file.submission_id),
            deliveries: grouped(&seen.deliveries, |delivery| &delivery.submission_id),
            audit: grouped(&seen.audit, |line| &line.object_id),
            mails: grouped(&seen.mails, |mail| &mail.delivery_id),
            executions: grouped(&seen.executions, |one| {
                one.client_reference.as_deref().unwrap_or_default()
            }),
            documents: seen
                .documents
                .iter()
                .map(|(id, document)| (id.as_str(), document))
                .collect(),
            whole_files: seen.whole_files.iter().map(String::as_str).collect(),
            violations: Vec::new(),
        }
    }

    fn find(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violations.push(Violation { invariant, what: what.into() });
    }

    /// I5: what was heard is the story from its beginning, without gap or repeat; and whoever was told that
    /// nothing follows has heard an end.
    fn hearing(&mut self, hearing: &Hearing) {
        let id = &hearing.submission_id;
        let story = self.story(id);
        if !story.starts_with(&hearing.heard) {
            let what = format!("{id}: heard {:?} of {story:?}", hearing.heard);
            self.find(Invariant::WholeStory, what);
        } else if !hearing.heard.iter().any(|heard| is_end(&heard.step)) {
            self.find(Invariant::WholeStory, format!("{id}: no end was heard"));
        } else if !hearing.is_done {
            self.find(Invariant::WholeStory, format!("{id}: the stream does not end"));
        }
        if !hearing.refused.is_empty() {
            let what = format!("{id}: the stream was refused by {:?}", hearing.refused);
            self.find(Invariant::WholeStory, what);
        }
    }

    fn story(&self, id: &str) -> Vec<Heard> {
        let of_it = self.events.get(id).into_iter().flatten();
        let heard = of_it.map(|event| Heard {
            number: event.number,
            status: event.status.clone(),
            step: event.step.clone(),
        });
        heard.collect()
    }

    fn document(&self, id: &str) -> Option<&'a Value> {
        self.documents.get(id).copied()
    }

    /// What LoopAI was asked to do for a run.
    fn asked_by(&self, submission: &str, run: i32) -> Vec<&'a ExecutionRecord> {
        self.executions.get(format!("{submission}-{run}").as_str()).cloned().unwrap_or_default()
    }
}

fn is_end(step: &str) -> bool {
    ENDS.iter().any(|(_, end)| *end == step)
}

//! The six invariants, judged on what was acknowledged and what is seen. Pure, so that each has a test in
//! which it must fail.

use super::ledger::{Acknowledged, Heard};
use super::observe::{
    AcceptedMail, AuditRow, DeliveryRow, EventRow, FileRow, Hearing, Observed, SubmissionRow,
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
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
    pub(crate) executions_per_run: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { executions_per_run: 1 }
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
    let mut court = Court {
        seen,
        terms,
        events: grouped(&seen.events, |event| &event.submission_id),
        files: grouped(&seen.files, |file| &file.submission_id),
        deliveries: grouped(&seen.deliveries, |delivery| &delivery.submission_id),
        audit: grouped(&seen.audit, |line| &line.object_id),
        mails: grouped(&seen.mails, |mail| &mail.delivery_id),
        documents: seen.documents.iter().map(|(id, document)| (id.as_str(), document)).collect(),
        submissions: seen.submissions.iter().map(|row| (row.id.as_str(), row)).collect(),
        whole_files: seen.whole_files.iter().map(String::as_str).collect(),
        violations: Vec::new(),
    };
    for promised in acknowledged {
        court.submission(promised);
    }
    court.executions();
    court.mails();
    for hearing in &seen.hearings {
        court.hearing(hearing);
    }
    if let Some(fault) = &seen.audit_fault {
        court.find(Invariant::NothingLost, format!("the audit does not verify: {fault}"));
    }
    if let Some(why) = &seen.stays_away {
        court.find(Invariant::ComesBack, why.clone());
    }
    court.violations
}

/// What is seen, by whom it is about.
struct Court<'a> {
    seen: &'a Observed,
    terms: Terms,
    events: Grouped<'a, EventRow>,
    files: Grouped<'a, FileRow>,
    deliveries: Grouped<'a, DeliveryRow>,
    audit: Grouped<'a, AuditRow>,
    mails: Grouped<'a, AcceptedMail>,
    documents: HashMap<&'a str, &'a Value>,
    submissions: HashMap<&'a str, &'a SubmissionRow>,
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

impl Court<'_> {
    fn find(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violations.push(Violation { invariant, what: what.into() });
    }

    fn submission(&mut self, promised: &Acknowledged) {
        let id = &promised.accepted.submission_id;
        let Some(&row) = self.submissions.get(id.as_str()) else {
            self.find(Invariant::NothingLost, format!("{id} is not in the records"));
            return;
        };
        self.one_end(row);
        self.kept(promised, row);
        self.told(row);
    }

    /// I1: each run of the story has one end, and the last one is where the submission stands.
    fn one_end(&mut self, row: &SubmissionRow) {
        let id = &row.id;
        let Some((_, last_step)) = ENDS.iter().find(|(status, _)| *status == row.status) else {
            self.find(Invariant::OneEnd, format!("{id} is {}", row.status));
            return;
        };
        let steps: Vec<_> = self.story(id).into_iter().map(|heard| heard.step).collect();
        let runs: Vec<Vec<&String>> = steps
            .split(|step| step == AGAIN)
            .map(|run| run.iter().filter(|step| is_end(step)).collect())
            .collect();
        if runs.iter().any(|ends| ends.len() != 1) {
            self.find(Invariant::OneEnd, format!("{id} has not one end for each run: {steps:?}"));
        } else if runs.last().is_some_and(|ends| ends[0] != last_step) {
            self.find(Invariant::OneEnd, format!("{id} is {}, but told {steps:?}", row.status));
        }
        let document = self.document(id);
        let shown = document.and_then(|document| document["status"].as_str());
        if shown != Some(&row.status) {
            self.find(Invariant::OneEnd, format!("{id} is {}, shown as {shown:?}", row.status));
        }
    }

    /// I2: what was sent and what became of it is all there.
    fn kept(&mut self, promised: &Acknowledged, row: &SubmissionRow) {
        let id = &row.id;
        if (&row.email, &row.comments) != (&promised.email, &promised.comments) {
            self.find(Invariant::NothingLost, format!("{id} is not what was sent"));
        }
        let files = self.files.get(id.as_str()).into_iter().flatten();
        let files: Vec<_> = files.map(|file| file.sha256.clone()).collect();
        if files != promised.photos {
            self.find(Invariant::NothingLost, format!("{id} has other photos than were sent"));
        }
        if promised.photos.iter().any(|photo| !self.whole_files.contains(photo.as_str())) {
            self.find(Invariant::NothingLost, format!("{id}: the bytes of a photo are not there"));
        }
        let numbers: Vec<_> = self.story(id).into_iter().map(|heard| heard.number).collect();
        if numbers != (1..=i64::from(row.last_event)).collect::<Vec<_>>() {
            self.find(
                Invariant::NothingLost,
                format!("{id} has a gap in its story of {}: {numbers:?}", row.last_event),
            );
        }
        let has_result = self.document(id).is_some_and(|document| document["result"].is_object());
        if row.status == "completed" && !(has_result && row.result_of_run == Some(row.run_number)) {
            self.find(Invariant::NothingLost, format!("{id} is completed without its result"));
        }
        for action in promised.moves.iter().copied() {
            let owed = promised.moves.iter().filter(|one| **one == action).count();
            let lines = self.audit.get(id.as_str()).into_iter().flatten();
            let there = lines.filter(|line| line.action == action).count();
            if there < owed {
                self.find(Invariant::NothingLost, format!("{id}: {action} is not in the audit"));
            }
        }
    }

    /// I2: the e-mail about the end is owed, once.
    fn told(&mut self, row: &SubmissionRow) {
        let kind = if row.status == "completed" { "result" } else { row.status.as_str() };
        let of_run = |delivery: &&&DeliveryRow| {
            delivery.run_number == row.run_number && delivery.kind == kind && !delivery.is_copy
        };
        let all = self.deliveries.get(row.id.as_str()).into_iter().flatten();
        let owed = all.filter(of_run).count();
        if is_final(&row.status) && owed == 0 {
            self.find(Invariant::NothingLost, format!("{}: no e-mail is owed for its end", row.id));
        } else if owed > 1 {
            self.find(Invariant::OneMail, format!("{}: {owed} e-mails are owed", row.id));
        }
    }

    /// I3.
    fn executions(&mut self) {
        let mut of_run: BTreeMap<&str, u32> = BTreeMap::new();
        for execution in &self.seen.executions {
            *of_run
                .entry(execution.client_reference.as_deref().unwrap_or_default())
                .or_default() += 1;
        }
        for (run, count) in of_run {
            if count > self.terms.executions_per_run {
                self.find(Invariant::OneExecution, format!("{count} executions of run {run}"));
            }
        }
    }

    /// I4.
    fn mails(&mut self) {
        for delivery in &self.seen.deliveries {
            let count = self.mails.get(delivery.id.as_str()).map_or(0, Vec::len);
            let allowed = match delivery.status.as_str() {
                "sent" => count == 1,
                "unknown" => count <= 1,
                _ => count == 0,
            };
            if !allowed {
                self.find(
                    Invariant::OneMail,
                    format!(
                        "{count} e-mails were accepted for {} of {}, which is {}",
                        delivery.kind, delivery.submission_id, delivery.status
                    ),
                );
            }
        }
        let owed: HashSet<_> = self.seen.deliveries.iter().map(|delivery| &delivery.id).collect();
        let strays: Vec<_> =
            self.seen.mails.iter().filter(|mail| !owed.contains(&mail.delivery_id)).collect();
        for mail in strays {
            self.find(Invariant::OneMail, format!("an e-mail to {:?} that nobody owes", mail.to));
        }
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

    fn document(&self, id: &str) -> Option<&Value> {
        self.documents.get(id).copied()
    }
}

/// Whether a submission can stay in this state.
pub(crate) fn is_final(status: &str) -> bool {
    ENDS.iter().any(|(end, _)| *end == status)
}

fn is_end(step: &str) -> bool {
    ENDS.iter().any(|(_, end)| *end == step)
}

#[cfg(test)]
mod tests;

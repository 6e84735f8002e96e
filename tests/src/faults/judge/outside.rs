//! I3 and I4: what LoopAI and the mail server were made to do, by their own logs.

use super::{Court, Invariant};
use crate::faults::observe::{AcceptedMail, DeliveryRow};
use diagflow_simulators::loopai::ExecutionRecord;
use std::collections::{BTreeMap, HashSet};

/// The subject of each kind of e-mail.
const SUBJECTS: [(&str, &str); 4] = [
    ("result", "Your diagnosis result"),
    ("failed", "We could not complete your diagnosis"),
    ("timed_out", "Your diagnosis took too long"),
    ("cancelled", "Your submission was cancelled"),
];

impl<'a> Court<'a> {
    /// I3: LoopAI ran once for each run, for runs that there are, and got the photos and no address.
    pub(super) fn executions(&mut self) {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for run in &self.seen.runs {
            let reference = format!("{}-{}", run.submission_id, run.number);
            count.insert(reference, self.asked_by(&run.submission_id, run.number).len());
        }
        for (run, count) in &count {
            if *count > self.terms.executions_per_run {
                self.find(Invariant::OneExecution, format!("{count} executions of run {run}"));
            }
        }
        for row in self.seen.submissions.iter().filter(|row| row.status == "completed") {
            if self.asked_by(&row.id, row.run_number).is_empty() {
                self.find(Invariant::OneExecution, format!("{} completed without any", row.id));
            }
        }
        for execution in &self.seen.executions {
            let reference = execution.client_reference.as_deref().unwrap_or_default();
            if !count.contains_key(reference) {
                let what = format!("an execution of run {reference:?}, which there is not");
                self.find(Invariant::OneExecution, what);
            }
            if execution.contains_email {
                let what = format!("LoopAI was told an address for {reference}");
                self.find(Invariant::OneExecution, what);
            }
            self.photos_that_arrived(reference, execution);
        }
    }

    fn photos_that_arrived(&mut self, reference: &str, execution: &ExecutionRecord) {
        let id = reference.rsplit_once('-').map_or("", |(id, _)| id);
        let Some(promised) = self.promises.get(id) else { return };
        let arrived = execution.images.iter().map(|image| image.sha256.as_ref());
        if execution.measured && !arrived.eq(promised.photos.iter().map(Some)) {
            let what = format!("LoopAI got other photos than were sent for {reference}");
            self.find(Invariant::NothingLost, what);
        }
    }

    /// I4: each e-mail that is owed is settled, was accepted as often as the ledger says, and went to its
    /// patient; and no other was accepted.
    pub(super) fn mails(&mut self) {
        for delivery in &self.seen.deliveries {
            let mails = self.mails.get(delivery.id.as_str()).cloned().unwrap_or_default();
            self.settled(delivery, mails.len());
            for mail in mails {
                self.addressed(delivery, mail);
            }
        }
        let owed: HashSet<_> = self.seen.deliveries.iter().map(|delivery| &delivery.id).collect();
        let strays = self.seen.mails.iter().filter(|mail| !owed.contains(&mail.delivery_id));
        for mail in strays {
            self.find(Invariant::OneMail, format!("an e-mail to {:?} that nobody owes", mail.to));
        }
    }

    fn settled(&mut self, delivery: &DeliveryRow, accepted: usize) {
        let DeliveryRow { kind, submission_id, status, error_code, .. } = delivery;
        // What a newer run's e-mail makes untrue is not sent any more.
        let is_overtaken = error_code.as_deref() == Some("superseded")
            && self
                .submissions
                .get(submission_id.as_str())
                .is_some_and(|row| row.run_number > delivery.run_number);
        if !is_overtaken && !self.terms.mails.contains(&status.as_str()) {
            let what = format!("{kind} of {submission_id} is {status} ({error_code:?})");
            self.find(Invariant::OneMail, what);
        }
        let allowed = match status.as_str() {
            "sent" => accepted == 1,
            "unknown" => accepted <= 1,
            _ => accepted == 0,
        };
        if !allowed {
            self.find(
                Invariant::OneMail,
                format!("{accepted} e-mails were accepted for {kind} of {submission_id}, {status}"),
            );
        }
    }

    fn addressed(&mut self, delivery: &DeliveryRow, mail: &AcceptedMail) {
        let id = &delivery.submission_id;
        let Some(row) = self.submissions.get(id.as_str()) else { return };
        let subject = SUBJECTS.iter().find(|(kind, _)| *kind == delivery.kind);
        if mail.to != [row.email.clone()]
            || subject.is_none_or(|(_, subject)| *subject != mail.subject)
            || !mail.text.contains(id)
        {
            let what =
                format!("{:?} to {:?} is no {} of {id}", mail.subject, mail.to, delivery.kind);
            self.find(Invariant::OneMail, what);
        }
    }
}

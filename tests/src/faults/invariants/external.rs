//! Checks invariants I3 and I4 against the logs of LoopAI and the mail server.

use super::{Checker, Invariant};
use crate::faults::snapshot::{AcceptedMail, DeliveryRow};
use diagflow_simulators::loopai::ExecutionRecord;
use std::collections::{BTreeMap, HashSet};

/// The e-mail subject for each kind of delivery.
const SUBJECTS: [(&str, &str); 4] = [
    ("result", "Your diagnosis result"),
    ("failed", "We could not complete your diagnosis"),
    ("timed_out", "Your diagnosis took too long"),
    ("cancelled", "Your submission was cancelled"),
];

impl<'a> Checker<'a> {
    /// I3: Each run has at most one execution, and no execution belongs to an unknown run. Every execution received the
    /// photos but no e-mail address.
    pub(super) fn check_executions(&mut self) {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for run in &self.snapshot.runs {
            let reference = format!("{}-{}", run.submission_id, run.number);
            count.insert(reference, self.executions_of(&run.submission_id, run.number).len());
        }
        for (run, count) in &count {
            if *count > self.tolerances.executions_per_run {
                self.add(Invariant::OneExecution, format!("{count} executions of run {run}"));
            }
        }
        for row in self.snapshot.submissions.iter().filter(|row| row.status == "completed") {
            if self.executions_of(&row.id, row.run_number).is_empty() {
                self.add(
                    Invariant::OneExecution,
                    format!("{} is completed without an execution", row.id),
                );
            }
        }
        for execution in &self.snapshot.executions {
            let reference = execution.client_reference.as_deref().unwrap_or_default();
            if !count.contains_key(reference) {
                let detail = format!("an execution of the unknown run {reference:?}");
                self.add(Invariant::OneExecution, detail);
            }
            if execution.contains_email {
                let detail = format!("LoopAI received an e-mail address for {reference}");
                self.add(Invariant::OneExecution, detail);
            }
            self.check_received_photos(reference, execution);
        }
    }

    fn check_received_photos(&mut self, reference: &str, execution: &ExecutionRecord) {
        let id = reference.rsplit_once('-').map_or("", |(id, _)| id);
        let Some(submission) = self.acknowledged.get(id) else { return };
        let received = execution.images.iter().map(|image| image.sha256.as_ref());
        if execution.measured && !received.eq(submission.cleaned_photos.iter().map(Some)) {
            let detail =
                format!("the photos received by LoopAI for {reference} differ from the request");
            self.add(Invariant::NothingLost, detail);
        }
    }

    /// I4: Every delivery is settled, the number of e-mails accepted for it matches its status, and all of them were
    /// sent to the patient. The mail server accepted no other e-mails.
    pub(super) fn check_mails(&mut self) {
        for delivery in &self.snapshot.deliveries {
            let mails = self.mails.get(delivery.id.as_str()).cloned().unwrap_or_default();
            self.check_settled(delivery, mails.len());
            for mail in mails {
                self.check_recipient(delivery, mail);
            }
        }
        let due: HashSet<_> =
            self.snapshot.deliveries.iter().map(|delivery| &delivery.id).collect();
        let strays = self.snapshot.mails.iter().filter(|mail| !due.contains(&mail.delivery_id));
        for mail in strays {
            self.add(Invariant::OneMail, format!("an e-mail to {:?} has no delivery", mail.to));
        }
    }

    fn check_settled(&mut self, delivery: &DeliveryRow, accepted: usize) {
        let DeliveryRow { kind, submission_id, status, error_code, .. } = delivery;
        // If a newer run supersedes a delivery, its e-mail is not sent.
        let is_superseded = error_code.as_deref() == Some("superseded")
            && self
                .submissions
                .get(submission_id.as_str())
                .is_some_and(|row| row.run_number > delivery.run_number);
        let is_erased = error_code.as_deref() == Some("submission_deleted")
            && self.submissions.get(submission_id.as_str()).is_some_and(|row| row.is_erased);
        if !is_superseded
            && !is_erased
            && !self.tolerances.delivery_statuses.contains(&status.as_str())
        {
            let detail =
                format!("the {kind} e-mail of {submission_id} is {status} ({error_code:?})");
            self.add(Invariant::OneMail, detail);
        }
        let allowed = match status.as_str() {
            "sent" => accepted == 1,
            "unknown" => accepted <= 1,
            _ => accepted == 0,
        };
        if !allowed {
            let detail = format!(
                "the {kind} e-mail of {submission_id} is {status}, but was accepted {accepted} times"
            );
            self.add(Invariant::OneMail, detail);
        }
    }

    fn check_recipient(&mut self, delivery: &DeliveryRow, mail: &AcceptedMail) {
        let id = &delivery.submission_id;
        let Some(row) = self.submissions.get(id.as_str()) else { return };
        let subject = SUBJECTS.iter().find(|(kind, _)| *kind == delivery.kind);
        // An erased submission's address is no longer in the database.
        let erased = self.acknowledged.get(id.as_str()).filter(|_| row.is_erased);
        let email = erased.map_or(&row.email, |submission| &submission.email);
        if mail.to != [email.clone()]
            || subject.is_none_or(|(_, subject)| *subject != mail.subject)
            || !mail.text.contains(id)
        {
            let detail = format!(
                "{:?} to {:?} is not the {} e-mail of {id}",
                mail.subject, mail.to, delivery.kind
            );
            self.add(Invariant::OneMail, detail);
        }
    }
}

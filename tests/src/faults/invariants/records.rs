//! Checks invariants I1 and I2 against the database and the API.

use super::{Checker, Invariant, RETRIED, TERMINAL, is_terminal_step};
use crate::faults::acknowledged::{AcknowledgedSubmission, ExpectedEnd};
use crate::faults::snapshot::{DeliveryRow, SubmissionRow};
use diagflow_simulators::loopai::ExecutionState;

impl<'a> Checker<'a> {
    pub(super) fn check_acknowledged(&mut self, submission: &AcknowledgedSubmission) {
        let id = &submission.accepted.submission_id;
        let Some(&row) = self.submissions.get(id.as_str()) else {
            self.add(Invariant::NothingLost, format!("{id} is not in the database"));
            return;
        };
        self.check_event_log(row);
        self.check_staff_actions(submission);
        if submission.is_erased {
            return self.check_erased(row);
        }
        self.check_one_end(submission, row);
        self.check_stored(submission, row);
        self.check_result(row);
        self.check_delivery(row);
    }

    /// I1: Every stored submission was acknowledged.
    pub(super) fn check_unacknowledged(&mut self) {
        for row in &self.snapshot.submissions {
            if !self.acknowledged.contains_key(row.id.as_str()) {
                let detail = format!("{} of {} was never acknowledged", row.id, row.email);
                self.add(Invariant::OneEnd, detail);
            }
        }
    }

    /// I1: Each run ends exactly once and in an allowed way. The submission's status reflects the end of its last run.
    fn check_one_end(&mut self, submission: &AcknowledgedSubmission, row: &SubmissionRow) {
        let id = &row.id;
        let Some((_, last_step)) = TERMINAL.iter().find(|(status, _)| *status == row.status) else {
            self.add(Invariant::OneEnd, format!("{id} is {}", row.status));
            return;
        };
        let is_this = |end: &ExpectedEnd| end.matches(&row.status, row.error_code.as_deref());
        if !submission.allowed_ends.iter().any(is_this) {
            let (status, code) = (&row.status, &row.error_code);
            let detail =
                format!("{id} is {status} ({code:?}) instead of {:?}", submission.allowed_ends);
            self.add(Invariant::OneEnd, detail);
        }
        let steps: Vec<_> = self.event_log(id).into_iter().map(|received| received.step).collect();
        let runs: Vec<Vec<&String>> = steps
            .split(|step| step == RETRIED)
            .map(|run| run.iter().filter(|step| is_terminal_step(step)).collect())
            .collect();
        if runs.iter().any(|ends| ends.len() != 1) {
            self.add(
                Invariant::OneEnd,
                format!("{id} does not have exactly one terminal step for each run: {steps:?}"),
            );
        } else if runs.last().is_some_and(|ends| ends[0] != last_step) {
            self.add(
                Invariant::OneEnd,
                format!("{id} is {}, but its steps are {steps:?}", row.status),
            );
        }
        for step in runs.iter().flatten() {
            let status = TERMINAL.iter().find(|(_, end)| end == step).map(|(status, _)| *status);
            if !submission.allowed_ends.iter().any(|end| Some(end.status) == status) {
                self.add(
                    Invariant::OneEnd,
                    format!("{id} had the terminal step {step}, which is not allowed"),
                );
            }
        }
        let document = self.document(id);
        let shown = document.and_then(|document| document["status"].as_str());
        if shown != Some(&row.status) {
            self.add(
                Invariant::OneEnd,
                format!("{id} is {}, but the API shows {shown:?}", row.status),
            );
        }
    }

    /// I2: The submission and its files are stored exactly as the patient sent them.
    fn check_stored(&mut self, submission: &AcknowledgedSubmission, row: &SubmissionRow) {
        let id = &row.id;
        let sent = (&submission.email, &submission.comments, &submission.consent_version);
        if (&row.email, &row.comments, &row.consent_version) != sent {
            self.add(Invariant::NothingLost, format!("{id} differs from its request"));
        }
        let files = self.files.get(id.as_str()).into_iter().flatten();
        let files: Vec<_> = files.map(|file| file.sha256.clone()).collect();
        if files != submission.photos {
            self.add(Invariant::NothingLost, format!("the photos of {id} differ from the request"));
        }
        if submission.photos.iter().any(|photo| !self.intact_files.contains(photo.as_str())) {
            self.add(Invariant::NothingLost, format!("{id}: a photo is missing or corrupted"));
        }
    }

    /// I2: The event log has no gaps.
    fn check_event_log(&mut self, row: &SubmissionRow) {
        let (id, last) = (&row.id, row.last_event);
        let numbers: Vec<_> =
            self.event_log(id).into_iter().map(|received| received.number).collect();
        if numbers != (1..=i64::from(last)).collect::<Vec<_>>() {
            let detail = format!("{id} has {last} events, but {numbers:?} are stored");
            self.add(Invariant::NothingLost, detail);
        }
    }

    /// I2: For a completed submission, the database and the API contain the result returned by LoopAI. If a submission
    /// failed with `loopai_failed`, its execution did fail at LoopAI.
    fn check_result(&mut self, row: &SubmissionRow) {
        let (id, run) = (&row.id, row.run_number);
        let runs = self.runs.get(id.as_str()).into_iter().flatten();
        let recorded =
            runs.filter(|one| one.number == run).find_map(|one| one.execution.as_deref());
        let executions = self.executions_of(id, run);
        let execution = executions.iter().find(|one| Some(one.execution_id.as_str()) == recorded);
        let state = execution.map(|one| one.state);
        let is_by_loopai = row.error_code.as_deref() == Some("loopai_failed");
        if is_by_loopai && state != Some(ExecutionState::Failed) {
            self.add(
                Invariant::NothingLost,
                format!("{id} failed, but its execution is {state:?}"),
            );
        }
        if row.status != "completed" {
            return;
        }
        let returned = execution.and_then(|one| one.result.as_ref());
        let results = self.results.get(id.as_str()).into_iter().flatten();
        let stored = results.filter(|one| one.run_number == run).map(|one| &one.body).next();
        let shown = self.document(id).map(|document| &document["result"]);
        if returned.is_none() {
            let detail = format!(
                "{id} is completed, but its execution {recorded:?} has no result at LoopAI"
            );
            self.add(Invariant::NothingLost, detail);
        } else if stored != returned || shown != returned {
            self.add(
                Invariant::NothingLost,
                format!("the result of {id} differs from LoopAI's result"),
            );
        }
    }

    /// I2: Every successful staff action is in the audit log.
    fn check_staff_actions(&mut self, submission: &AcknowledgedSubmission) {
        let id = &submission.accepted.submission_id;
        for action in submission.staff_actions.iter().copied() {
            let expected = submission.staff_actions.iter().filter(|one| **one == action).count();
            let entries = self.audit.get(id.as_str()).into_iter().flatten();
            let there = entries.filter(|entry| entry.action == action).count();
            if there < expected {
                self.add(Invariant::NothingLost, format!("{id}: {action} is not in the audit log"));
            }
        }
    }

    /// I2: There is exactly one delivery for the end of the last run.
    fn check_delivery(&mut self, row: &SubmissionRow) {
        let kind = if row.status == "completed" { "result" } else { row.status.as_str() };
        let of_run = |delivery: &&&DeliveryRow| {
            delivery.run_number == row.run_number && delivery.kind == kind && !delivery.is_copy
        };
        let all = self.deliveries.get(row.id.as_str()).into_iter().flatten();
        let due = all.filter(of_run).count();
        if TERMINAL.iter().any(|(end, _)| *end == row.status) && due == 0 {
            self.add(
                Invariant::NothingLost,
                format!("{}: there is no delivery for its end", row.id),
            );
        } else if due > 1 {
            self.add(
                Invariant::OneMail,
                format!("{}: there are {due} deliveries for its end", row.id),
            );
        }
    }
}

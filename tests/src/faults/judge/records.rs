//! I1 and I2: what was promised, against the records and the API.

use super::{AGAIN, Court, ENDS, Invariant, is_end};
use crate::faults::ledger::{Acknowledged, End};
use crate::faults::observe::{DeliveryRow, SubmissionRow};
use diagflow_simulators::loopai::ExecutionState;

impl<'a> Court<'a> {
    pub(super) fn promised(&mut self, promised: &Acknowledged) {
        let id = &promised.accepted.submission_id;
        let Some(&row) = self.submissions.get(id.as_str()) else {
            self.find(Invariant::NothingLost, format!("{id} is not in the records"));
            return;
        };
        self.one_end(promised, row);
        self.kept(promised, row);
        self.whole_story(row);
        self.result(row);
        self.moves(promised);
        self.told(row);
    }

    /// I1: whoever was promised something has one submission, and nobody else has any.
    pub(super) fn unpromised(&mut self) {
        for row in &self.seen.submissions {
            if !self.promises.contains_key(row.id.as_str()) {
                let what = format!("{} of {} was promised to nobody", row.id, row.email);
                self.find(Invariant::OneEnd, what);
            }
        }
    }

    /// I1: each run of the story has one end, of those that it may have, and the last one is where the
    /// submission stands.
    fn one_end(&mut self, promised: &Acknowledged, row: &SubmissionRow) {
        let id = &row.id;
        let Some((_, last_step)) = ENDS.iter().find(|(status, _)| *status == row.status) else {
            self.find(Invariant::OneEnd, format!("{id} is {}", row.status));
            return;
        };
        let is_this = |end: &End| end.is(&row.status, row.error_code.as_deref());
        if !promised.ends.iter().any(is_this) {
            let (status, code) = (&row.status, &row.error_code);
            let what = format!("{id} is {status} ({code:?}) instead of {:?}", promised.ends);
            self.find(Invariant::OneEnd, what);
        }
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
        for step in runs.iter().flatten() {
            let status = ENDS.iter().find(|(_, end)| end == step).map(|(status, _)| *status);
            if !promised.ends.iter().any(|end| Some(end.status) == status) {
                self.find(Invariant::OneEnd, format!("{id} may not have had the end {step}"));
            }
        }
        let document = self.document(id);
        let shown = document.and_then(|document| document["status"].as_str());
        if shown != Some(&row.status) {
            self.find(Invariant::OneEnd, format!("{id} is {}, shown as {shown:?}", row.status));
        }
    }

    /// I2: what was sent is all there.
    fn kept(&mut self, promised: &Acknowledged, row: &SubmissionRow) {
        let id = &row.id;
        let sent = (&promised.email, &promised.comments, &promised.consent_version);
        if (&row.email, &row.comments, &row.consent_version) != sent {
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
    }

    /// I2: no line of the story is missing.
    fn whole_story(&mut self, row: &SubmissionRow) {
        let (id, last) = (&row.id, row.last_event);
        let numbers: Vec<_> = self.story(id).into_iter().map(|heard| heard.number).collect();
        if numbers != (1..=i64::from(last)).collect::<Vec<_>>() {
            let what = format!("{id} has a gap in its story of {last}: {numbers:?}");
            self.find(Invariant::NothingLost, what);
        }
    }

    /// I2: who completed has the result that LoopAI gave for its run, in the records and at the API; and nobody
    /// failed by LoopAI's word who did not.
    fn result(&mut self, row: &SubmissionRow) {
        let (id, run) = (&row.id, row.run_number);
        let runs = self.runs.get(id.as_str()).into_iter().flatten();
        let recorded =
            runs.filter(|one| one.number == run).find_map(|one| one.execution.as_deref());
        let asked = self.asked_by(id, run);
        let execution = asked.iter().find(|one| Some(one.execution_id.as_str()) == recorded);
        let state = execution.map(|one| one.state);
        let is_by_loopai = row.error_code.as_deref() == Some("loopai_failed");
        if is_by_loopai && state != Some(ExecutionState::Failed) {
            self.find(Invariant::NothingLost, format!("{id} failed, but LoopAI says {state:?}"));
        }
        if row.status != "completed" {
            return;
        }
        let given = execution.and_then(|one| one.result.as_ref());
        let results = self.results.get(id.as_str()).into_iter().flatten();
        let kept = results.filter(|one| one.run_number == run).map(|one| &one.body).next();
        let shown = self.document(id).map(|document| &document["result"]);
        if given.is_none() {
            let what = format!("{id} is completed by {recorded:?}, which LoopAI did not complete");
            self.find(Invariant::NothingLost, what);
        } else if kept != given || shown != given {
            self.find(Invariant::NothingLost, format!("{id} has another result than LoopAI gave"));
        }
    }

    /// I2: each move of staff that was acknowledged is in the audit.
    fn moves(&mut self, promised: &Acknowledged) {
        let id = &promised.accepted.submission_id;
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
        if ENDS.iter().any(|(end, _)| *end == row.status) && owed == 0 {
            self.find(Invariant::NothingLost, format!("{}: no e-mail is owed for its end", row.id));
        } else if owed > 1 {
            self.find(Invariant::OneMail, format!("{}: {owed} e-mails are owed", row.id));
        }
    }
}

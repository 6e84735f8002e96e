//! Checks submissions erased by staff.

use super::{Checker, ERASED, Invariant, TERMINAL};
use crate::faults::snapshot::SubmissionRow;

impl Checker<'_> {
    /// The submission has ended, its last event is the erasure, and none of the patient's data is left.
    pub(super) fn check_erased(&mut self, row: &SubmissionRow) {
        let id = &row.id;
        let last = self.event_log(id).pop().map(|event| event.step);
        let has_ended = TERMINAL.iter().any(|(status, _)| *status == row.status);
        if !row.is_erased || !has_ended || last.as_deref() != Some(ERASED) {
            let detail = format!("{id} was erased, but is {} after the step {last:?}", row.status);
            self.add(Invariant::OneEnd, detail);
        }
        let acknowledged = self.acknowledged.get(id.as_str());
        let is_address = acknowledged.is_some_and(|submission| submission.email == row.email);
        let has_files = self.files.contains_key(id.as_str());
        let has_results = self.results.contains_key(id.as_str());
        if is_address || !row.comments.is_empty() || has_files || has_results {
            self.add(Invariant::NothingLost, format!("{id} was erased, but data is left"));
        }
        let shown = self.document(id).map(|document| &document["error"]["code"]);
        if shown.and_then(|code| code.as_str()) != Some("erased") {
            self.add(Invariant::OneEnd, format!("{id} was erased, but the API shows {shown:?}"));
        }
    }
}

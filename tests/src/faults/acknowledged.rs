//! A record of all acknowledged requests: submissions that got a 202 response, and successful staff actions.

use crate::client::AcceptedSubmission;
use crate::photos::Photo;
use diagflow_store::Sha256;

pub(crate) const CONSENT_VERSION: &str = "of-the-fault-table";

#[derive(Debug, Clone)]
pub(crate) struct AcknowledgedSubmission {
    pub(crate) accepted: AcceptedSubmission,
    pub(crate) email: String,
    pub(crate) comments: String,
    /// SHA-256 digests of the photos, in request order.
    pub(crate) photos: Vec<String>,
    /// SHA-256 digests of the photos after their metadata has been removed.
    pub(crate) cleaned_photos: Vec<String>,
    pub(crate) consent_version: String,
    /// The names under which successful staff actions appear in the audit log.
    pub(crate) staff_actions: Vec<&'static str>,
    /// Ends that the row allows. By default, only completion is allowed.
    pub(crate) allowed_ends: Vec<ExpectedEnd>,
    /// Whether staff have erased the submission.
    pub(crate) is_erased: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpectedEnd {
    pub(crate) status: &'static str,
    code: Option<&'static str>,
}

impl ExpectedEnd {
    pub(crate) const COMPLETED: ExpectedEnd = ExpectedEnd { status: "completed", code: None };
    pub(crate) const CANCELLED: ExpectedEnd =
        ExpectedEnd { status: "cancelled", code: Some("cancelled") };
    pub(crate) const TIMED_OUT: ExpectedEnd =
        ExpectedEnd { status: "timed_out", code: Some("deadline_exceeded") };

    pub(crate) const fn failed(code: &'static str) -> ExpectedEnd {
        ExpectedEnd { status: "failed", code: Some(code) }
    }

    pub(crate) fn matches(self, status: &str, code: Option<&str>) -> bool {
        (self.status, self.code) == (status, code)
    }
}

impl AcknowledgedSubmission {
    pub(crate) fn new(
        accepted: AcceptedSubmission,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> AcknowledgedSubmission {
        AcknowledgedSubmission {
            accepted,
            email: email.to_owned(),
            comments: comments.to_owned(),
            photos: photos.iter().map(|photo| Sha256::of(&photo.bytes).to_string()).collect(),
            cleaned_photos: photos
                .iter()
                .map(|photo| Sha256::of(&photo.cleaned()).to_string())
                .collect(),
            consent_version: CONSENT_VERSION.to_owned(),
            staff_actions: Vec::new(),
            allowed_ends: vec![ExpectedEnd::COMPLETED],
            is_erased: false,
        }
    }

    /// Adds an end to those allowed.
    pub(crate) fn allow(&mut self, end: ExpectedEnd) {
        if !self.allowed_ends.contains(&end) {
            self.allowed_ends.push(end);
        }
    }
}

//! Acknowledged requests: each submission with a 202 response, and each successful staff action.

use crate::client::AcceptedSubmission;
use crate::photos::Photo;
use diagflow_store::Sha256;

pub(crate) const CONSENT_VERSION: &str = "of-the-fault-table";

#[derive(Debug, Clone)]
pub(crate) struct AcknowledgedSubmission {
    pub(crate) accepted: AcceptedSubmission,
    pub(crate) email: String,
    pub(crate) comments: String,
    /// SHA-256 digests of the photos, in the order in which they were sent.
    pub(crate) photos: Vec<String>,
    /// Digests of the photos without metadata.
    pub(crate) cleaned_photos: Vec<String>,
    pub(crate) consent_version: String,
    /// Successful staff actions, by their names in the audit log.
    pub(crate) staff_actions: Vec<&'static str>,
    /// Completion only, unless the row allows other ends.
    pub(crate) allowed_ends: Vec<ExpectedEnd>,
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
        }
    }
}

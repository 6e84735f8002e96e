//! What patients and staff were promised: each submission that got its 202, and each staff action that succeeded.

use crate::client::AcceptedSubmission;
use crate::photos::Photo;
use diagflow_store::Sha256;

/// The consent text of every world.
pub(crate) const CONSENT_VERSION: &str = "of-the-fault-table";

/// A submission that was answered with 202.
#[derive(Debug, Clone)]
pub(crate) struct AcknowledgedSubmission {
    /// The answer.
    pub(crate) accepted: AcceptedSubmission,
    /// Where its e-mails go.
    pub(crate) email: String,
    /// What was said.
    pub(crate) comments: String,
    /// The digests of the photos that were sent, in their order.
    pub(crate) photos: Vec<String>,
    /// The consent text that it was sent under.
    pub(crate) consent_version: String,
    /// Moves of staff that were acknowledged, as the audit names them.
    pub(crate) staff_actions: Vec<&'static str>,
    /// How it may end; at first, only with a result.
    pub(crate) allowed_ends: Vec<ExpectedEnd>,
}

/// How a submission may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpectedEnd {
    /// Its state.
    pub(crate) status: &'static str,
    code: Option<&'static str>,
}

impl ExpectedEnd {
    pub(crate) const COMPLETED: ExpectedEnd = ExpectedEnd { status: "completed", code: None };
    pub(crate) const CANCELLED: ExpectedEnd =
        ExpectedEnd { status: "cancelled", code: Some("cancelled") };
    pub(crate) const TIMED_OUT: ExpectedEnd =
        ExpectedEnd { status: "timed_out", code: Some("deadline_exceeded") };

    /// Without a result, for this reason.
    pub(crate) const fn failed(code: &'static str) -> ExpectedEnd {
        ExpectedEnd { status: "failed", code: Some(code) }
    }

    /// Whether it is what the records say.
    pub(crate) fn matches(self, status: &str, code: Option<&str>) -> bool {
        (self.status, self.code) == (status, code)
    }
}

impl AcknowledgedSubmission {
    /// As it was sent.
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
            consent_version: CONSENT_VERSION.to_owned(),
            staff_actions: Vec::new(),
            allowed_ends: vec![ExpectedEnd::COMPLETED],
        }
    }
}

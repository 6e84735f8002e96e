//! The filter of a list, and how it is split so that indexes can be used.

use crate::db::ids::UserId;
use crate::db::utc_time::UtcTime;
use crate::listing::full_text::FullTextQuery;
use crate::submissions::status::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletedFilter {
    #[default]
    Exclude,
    Include,
    Only,
}

impl DeletedFilter {
    /// The matching values of `submission_counts.deleted`.
    pub(crate) fn flags(self) -> &'static [i32] {
        match self {
            Self::Exclude => &[0],
            Self::Include => &[0, 1],
            Self::Only => &[1],
        }
    }
}

/// Matching ignores case.
#[derive(Clone, PartialEq, Eq)]
pub enum EmailFilter {
    Exact(String),
    Prefix(String),
}

/// All conditions must hold. The default matches every submission that is not deleted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SubmissionFilter {
    /// If empty, every state matches. Must not contain duplicates.
    pub statuses: Vec<Status>,
    /// Inclusive.
    pub created_from: Option<UtcTime>,
    /// Exclusive.
    pub created_to: Option<UtcTime>,
    pub email: Option<EmailFilter>,
    pub full_text: Option<FullTextQuery>,
    pub error_code: Option<String>,
    pub submitted_by: Option<UserId>,
    pub assignee: Option<UserId>,
    pub deleted: DeletedFilter,
}

impl SubmissionFilter {
    pub(crate) fn is_status_only(&self) -> bool {
        let Self { created_from, created_to, .. } = self;
        created_from.is_none() && created_to.is_none() && !self.is_selective()
    }

    /// Whether the filter has conditions other than state and time. If so, it matches few enough rows to sort them.
    pub(crate) fn is_selective(&self) -> bool {
        self.email.is_some()
            || self.full_text.is_some()
            || self.error_code.is_some()
            || self.submitted_by.is_some()
            || self.assignee.is_some()
    }

    /// The states to read one by one. `None` means that all states are read at once.
    pub(crate) fn branches(&self) -> Vec<Option<Status>> {
        if self.statuses.is_empty() || self.is_selective() {
            return vec![None];
        }
        self.statuses.iter().copied().map(Some).collect()
    }
}

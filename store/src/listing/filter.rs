//! Filters for lists of submissions. A filter can be split into parts that can each use an index.

use crate::db::ids::{SubmissionId, UserId};
use crate::db::utc_time::UtcTime;
use crate::deliveries::email_state::EmailState;
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
    /// Returns the matching values of `submission_counts.deleted`.
    pub(crate) fn flags(self) -> &'static [i32] {
        match self {
            Self::Exclude => &[0],
            Self::Include => &[0, 1],
            Self::Only => &[1],
        }
    }
}

/// A case-insensitive filter by e-mail address.
#[derive(Clone, PartialEq, Eq)]
pub enum EmailFilter {
    Exact(String),
    Prefix(String),
}

/// A submission matches if all conditions hold. The default filter matches every submission that has not been deleted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SubmissionFilter {
    /// Matching submissions. If the list is empty, every submission matches.
    pub ids: Vec<SubmissionId>,
    /// States of matching submissions, without duplicates. If the list is empty, every state matches.
    pub statuses: Vec<Status>,
    /// Earliest creation time, inclusive.
    pub created_from: Option<UtcTime>,
    /// Latest creation time, exclusive.
    pub created_to: Option<UtcTime>,
    pub email: Option<EmailFilter>,
    pub full_text: Option<FullTextQuery>,
    pub error_code: Option<String>,
    /// States of the latest e-mail, without duplicates. Each must be [`EmailState::SEARCHABLE`]. If the list is empty,
    /// every submission matches.
    pub email_states: Vec<EmailState>,
    pub submitted_by: Option<UserId>,
    pub assignee: Option<UserId>,
    /// Whether to match only submissions with a stuck run.
    pub stuck: bool,
    pub deleted: DeletedFilter,
}

impl SubmissionFilter {
    pub(crate) fn is_status_only(&self) -> bool {
        let Self { created_from, created_to, .. } = self;
        created_from.is_none() && created_to.is_none() && !self.is_selective()
    }

    /// Whether the filter has conditions other than state and time. If so, it matches few enough rows for the database
    /// to sort them.
    pub(crate) fn is_selective(&self) -> bool {
        !self.ids.is_empty()
            || self.email.is_some()
            || self.full_text.is_some()
            || self.error_code.is_some()
            || !self.email_states.is_empty()
            || self.submitted_by.is_some()
            || self.assignee.is_some()
            || self.stuck
    }

    /// Returns the states to read one at a time, or a single `None` if all states are read at once.
    pub(crate) fn branches(&self) -> Vec<Option<Status>> {
        if self.statuses.is_empty() || self.is_selective() {
            return vec![None];
        }
        self.statuses.iter().copied().map(Some).collect()
    }
}

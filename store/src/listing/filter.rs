//! What a list can be asked for.

use crate::db::ids::UserId;
use crate::db::utc_time::UtcTime;
use crate::listing::full_text::FullTextQuery;
use crate::submissions::status::Status;

/// Whether deleted submissions are in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletedFilter {
    /// They are not.
    #[default]
    Exclude,
    /// They are, like all others.
    Include,
    /// Nothing else is.
    Only,
}

impl DeletedFilter {
    /// The values of `submission_counts.deleted` that belong to it.
    pub(crate) fn flags(self) -> &'static [i32] {
        match self {
            Self::Exclude => &[0],
            Self::Include => &[0, 1],
            Self::Only => &[1],
        }
    }
}

/// Which e-mail address. Upper and lower case are the same.
#[derive(Clone, PartialEq, Eq)]
pub enum EmailFilter {
    /// This one.
    Exact(String),
    /// Each that begins like this.
    Prefix(String),
}

/// Which submissions. All that is given must hold; the default is every submission that is not deleted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SubmissionFilter {
    /// In one of these states; in any when empty. No state twice.
    pub statuses: Vec<Status>,
    /// Received at this time (UTC) or later.
    pub created_from: Option<UtcTime>,
    /// Received before this time (UTC).
    pub created_to: Option<UtcTime>,
    /// From whom.
    pub email: Option<EmailFilter>,
    /// Include these words in the comments.
    pub full_text: Option<FullTextQuery>,
    /// That failed with this code.
    pub error_code: Option<String>,
    /// Sent by this account.
    pub submitted_by: Option<UserId>,
    /// Whether deleted ones are among them.
    pub deleted: DeletedFilter,
}

impl SubmissionFilter {
    /// Whether nothing but states (and deletion) is asked for.
    pub(crate) fn is_status_only(&self) -> bool {
        let Self { created_from, created_to, email, full_text, error_code, submitted_by, .. } =
            self;
        created_from.is_none()
            && created_to.is_none()
            && email.is_none()
            && full_text.is_none()
            && error_code.is_none()
            && submitted_by.is_none()
    }

    /// Whether something else than states and times selects (an address, a word …): that leaves few enough
    /// rows to sort them.
    pub(crate) fn is_selective(&self) -> bool {
        self.email.is_some()
            || self.full_text.is_some()
            || self.error_code.is_some()
            || self.submitted_by.is_some()
    }

    /// The states that are to be read one by one; `None` for all in one.
    pub(crate) fn branches(&self) -> Vec<Option<Status>> {
        if self.statuses.is_empty() || self.is_selective() {
            return vec![None];
        }
        self.statuses.iter().copied().map(Some).collect()
    }
}

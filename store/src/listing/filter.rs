//! What a list can be asked for.

use super::Listed;
use super::words::Words;
use crate::ids::{SubmissionId, UserId};
use crate::status::Status;
use chrono::NaiveDateTime;
use std::cmp::Ordering;

/// Whether deleted submissions are in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deleted {
    /// They are not.
    #[default]
    Without,
    /// They are, like all others.
    With,
    /// Nothing else is.
    Only,
}

impl Deleted {
    /// The values of `submission_counts.deleted` that belong to it.
    pub(super) fn flags(self) -> &'static [i32] {
        match self {
            Self::Without => &[0],
            Self::With => &[0, 1],
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
pub struct Filter {
    /// In one of these states; in any when empty. No state twice.
    pub statuses: Vec<Status>,
    /// Received at this time (UTC) or later.
    pub created_from: Option<NaiveDateTime>,
    /// Received before this time (UTC).
    pub created_to: Option<NaiveDateTime>,
    /// From whom.
    pub email: Option<EmailFilter>,
    /// With these words in the comments.
    pub words: Option<Words>,
    /// That failed with this code.
    pub error_code: Option<String>,
    /// Sent by this account.
    pub submitted_by: Option<UserId>,
    /// Whether deleted ones are among them.
    pub deleted: Deleted,
}

impl Filter {
    /// Whether nothing but states (and deletion) is asked for.
    pub(super) fn is_by_state_alone(&self) -> bool {
        let Self { created_from, created_to, email, words, error_code, submitted_by, .. } = self;
        created_from.is_none()
            && created_to.is_none()
            && email.is_none()
            && words.is_none()
            && error_code.is_none()
            && submitted_by.is_none()
    }

    /// Whether something else than states and times selects (an address, a word …): that leaves few enough
    /// rows to sort them.
    pub(crate) fn selects_otherwise(&self) -> bool {
        self.email.is_some()
            || self.words.is_some()
            || self.error_code.is_some()
            || self.submitted_by.is_some()
    }

    /// The states that are to be read one by one; `None` for all in one.
    pub(super) fn branches(&self) -> Vec<Option<Status>> {
        if self.statuses.is_empty() || self.selects_otherwise() {
            return vec![None];
        }
        self.statuses.iter().copied().map(Some).collect()
    }
}

/// By which time a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// When it was received.
    Created,
    /// When anything about it changed last.
    Updated,
}

/// The order of a list. Those of the same time are in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By which time.
    pub by: SortBy,
    /// Whether the newest come first.
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { by: SortBy::Created, descending: true }
    }
}

impl Sort {
    pub(super) fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    pub(super) fn order(self, a: &Key, b: &Key) -> Ordering {
        // Ids as SQL compares them: as text, which for one spelling of UUIDs is the order of their bytes.
        let ascending = (a.at, a.id).cmp(&(b.at, b.id));
        if self.descending { ascending.reverse() } else { ascending }
    }
}

/// The place of one submission in the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its time, by the sort.
    pub at: NaiveDateTime,
    /// Its id.
    pub id: SubmissionId,
}

impl Key {
    /// The place of a submission.
    pub fn of(row: &Listed, by: SortBy) -> Self {
        let at = match by {
            SortBy::Created => row.created_at,
            SortBy::Updated => row.updated_at,
        };
        Self { at, id: row.id }
    }
}

/// Where a part of a list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// After this many. Takes time in proportion, so callers keep it small.
    Skip(usize),
    /// After this submission, whether it still is in the list or not.
    After(Key),
    /// Just before this submission: the part that ends there.
    Before(Key),
}

impl Place {
    pub(super) fn skipped(self) -> usize {
        match self {
            Self::Skip(count) => count,
            Self::After(_) | Self::Before(_) => 0,
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// In the list's order.
    pub rows: Vec<Listed>,
    /// Whether there are more beyond it, in the direction in which it was read.
    pub more: bool,
}

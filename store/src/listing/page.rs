//! Rows of a list, their order, and a part of it.

use crate::db::email_address::EmailAddress;
use crate::db::ids::{SubmissionId, UserId};
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::prelude::*;
use std::cmp::Ordering;

/// A submission as a list shows it: nothing medical.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct SubmissionSummary {
    /// Its name.
    pub id: SubmissionId,
    /// Where the result goes.
    pub email: EmailAddress,
    /// Where it stands.
    pub status: Status,
    /// Its newest run.
    pub run_number: i32,
    /// Why it failed, as a stable code.
    pub error_code: Option<String>,
    /// When it was received (UTC).
    pub created_at: UtcTime,
    /// When anything about it changed last (UTC).
    pub updated_at: UtcTime,
    /// When it reached its present final state (UTC).
    pub finished_at: Option<UtcTime>,
    /// The account that sent it, where there is one.
    pub submitted_by: Option<UserId>,
    /// When staff deleted it (UTC).
    pub deleted_at: Option<UtcTime>,
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
    pub(crate) fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    pub(crate) fn compare(self, a: &SortKey, b: &SortKey) -> Ordering {
        // Ids as SQL compares them: as text, which for one spelling of UUIDs is the order of their bytes.
        let ascending = (a.at, a.id).cmp(&(b.at, b.id));
        if self.descending { ascending.reverse() } else { ascending }
    }
}

/// The place of one submission in the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// Its time, by the sort.
    pub at: UtcTime,
    /// Its id.
    pub id: SubmissionId,
}

impl SortKey {
    /// The place of a submission.
    pub fn of(row: &SubmissionSummary, by: SortBy) -> Self {
        let at = match by {
            SortBy::Created => row.created_at,
            SortBy::Updated => row.updated_at,
        };
        Self { at, id: row.id }
    }
}

/// Where a part of a list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagePosition {
    /// After this many. Takes time in proportion, so callers keep it small.
    Skip(usize),
    /// After this submission, whether it still is in the list or not.
    After(SortKey),
    /// Just before this submission: the part that ends there.
    Before(SortKey),
}

impl PagePosition {
    pub(crate) fn offset(self) -> usize {
        match self {
            Self::Skip(count) => count,
            Self::After(_) | Self::Before(_) => 0,
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the list's order.
    pub rows: Vec<SubmissionSummary>,
    /// Whether there are more beyond it, in the direction in which it was read.
    pub has_more: bool,
}

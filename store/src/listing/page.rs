//! Rows, sort order and pages of lists.

use crate::db::email_address::EmailAddress;
use crate::db::ids::{SubmissionId, UserId};
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::prelude::*;
use std::cmp::Ordering;

/// A listed submission, without clinical data.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct SubmissionSummary {
    pub id: SubmissionId,
    pub email: EmailAddress,
    pub status: Status,
    pub run_number: i32,
    pub error_code: Option<String>,
    pub created_at: UtcTime,
    pub updated_at: UtcTime,
    pub finished_at: Option<UtcTime>,
    pub submitted_by: Option<UserId>,
    pub deleted_at: Option<UtcTime>,
    pub erased_at: Option<UtcTime>,
    pub note: Option<String>,
    pub assignee: Option<UserId>,
    pub stuck_since: Option<UtcTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    Created,
    Updated,
}

/// The order of a list. Submissions with the same time are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
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
        // SQL compares ids as text. For UUIDs in canonical form, text order is the same as byte order.
        let ascending = (a.at, a.id).cmp(&(b.at, b.id));
        if self.descending { ascending.reverse() } else { ascending }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    pub at: UtcTime,
    pub id: SubmissionId,
}

impl SortKey {
    pub fn of(row: &SubmissionSummary, by: SortBy) -> Self {
        let at = match by {
            SortBy::Created => row.created_at,
            SortBy::Updated => row.updated_at,
        };
        Self { at, id: row.id }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagePosition {
    /// Skips this many rows. The query time grows with the number of skipped rows, so callers limit it.
    Skip(usize),
    After(SortKey),
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub rows: Vec<SubmissionSummary>,
    pub has_more: bool,
}

//! Applies a staff action to all submissions that match a filter.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::deliveries::email_state::EmailState;
use crate::listing::filter::{DeletedFilter, SubmissionFilter};
use crate::listing::query::matching_any_status;
use crate::staff::cancel_retry::queue_next_run;
use crate::staff::resend::resend_latest;
use crate::submissions::row::lock_not_deleted;
use crate::submissions::status::Status;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Number of submissions per transaction, kept small so that locks are held only briefly.
const BATCH: i64 = 50;

type BulkCursor = (UtcTime, SubmissionId);

#[derive(Debug, Clone, Copy)]
enum BulkAction {
    Retry,
    Resend,
}

/// An action, and a filter that matches only submissions to which it can be applied: those that have ended and have not
/// been deleted.
#[derive(Clone)]
pub struct BulkChange {
    action: BulkAction,
    filter: SubmissionFilter,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkCounts {
    pub changed: i64,
    pub remaining: i64,
}

impl BulkChange {
    /// Retries submissions. A submission with a result matches only if the filter includes the state *completed*.
    pub fn retry(filter: SubmissionFilter) -> Self {
        let filter = ended(filter, |status| status != Status::Completed);
        Self { action: BulkAction::Retry, filter }
    }

    /// Plans a copy of each submission's latest e-mail if that e-mail *failed*. An e-mail whose outcome is *unknown*
    /// matches only if the filter includes that state. E-mails in other states cannot be resent in bulk: a copy that
    /// has been sent would match again, and patients would receive one copy after another.
    pub fn resend(filter: SubmissionFilter) -> Self {
        let mut filter = ended(filter, |_| true);
        filter.email_states.retain(|state| Self::RESENDABLE.contains(state));
        if filter.email_states.is_empty() {
            filter.email_states.push(EmailState::Failed);
        }
        Self { action: BulkAction::Resend, filter }
    }

    pub const RESENDABLE: [EmailState; 2] = [EmailState::Failed, EmailState::Unknown];

    fn query(&self) -> submissions::BoxedQuery<'_, Mysql> {
        matching_any_status(&self.filter).filter(submissions::status.eq_any(&self.filter.statuses))
    }

    /// Splits the query into parts that an index can return in time order.
    fn parts(&self) -> Vec<submissions::BoxedQuery<'_, Mysql>> {
        let filter = &self.filter;
        if filter.is_selective() {
            return vec![self.query()];
        }
        let of =
            |status: &Status| matching_any_status(filter).filter(submissions::status.eq(*status));
        filter.statuses.iter().map(of).collect()
    }

    async fn next(
        &self,
        connection: &mut Connection,
        after_cursor: Option<BulkCursor>,
        limit: i64,
    ) -> StoreResult<Vec<BulkCursor>> {
        let mut found: Vec<BulkCursor> = Vec::new();
        for mut part in self.parts() {
            if let Some((at, id)) = after_cursor {
                part = part
                    .filter(submissions::created_at.ge(at))
                    .filter(submissions::created_at.gt(at).or(submissions::id.gt(id)));
            }
            let rows: Vec<BulkCursor> = part
                .order((submissions::created_at, submissions::id))
                .limit(limit)
                .select((submissions::created_at, submissions::id))
                .load(connection)
                .await?;
            found.extend(rows);
        }
        found.sort();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Applies the action to a submission that the caller has locked. Returns its audit entry, or `None` if the
    /// submission (or, for a resend, its latest e-mail) is no longer in a matching state.
    async fn apply(
        &self,
        connection: &mut Connection,
        current: RunKey,
        status: Status,
        each: &NewAuditEntry,
    ) -> StoreResult<Option<NewAuditEntry>> {
        if !self.filter.statuses.contains(&status) {
            return Ok(None);
        }
        let submission = current.submission;
        let entry = NewAuditEntry { object_id: submission.to_string(), ..each.clone() };
        match self.action {
            BulkAction::Retry => {
                queue_next_run(connection, current, status, Duration::ZERO).await?;
                Ok(Some(entry))
            }
            BulkAction::Resend => {
                let states = &self.filter.email_states;
                let resent = resend_latest(connection, submission, status, states).await?;
                Ok(resent.map(|(delivery, copy)| {
                    entry.with("delivery", delivery.to_string()).with("copy", copy.to_string())
                }))
            }
        }
    }
}

/// Restricts a filter to submissions that have ended and have not been deleted. `by_default` selects the states that
/// match if the filter lists none.
fn ended(filter: SubmissionFilter, by_default: impl Fn(Status) -> bool) -> SubmissionFilter {
    let mut statuses = filter.statuses;
    if statuses.is_empty() {
        statuses = Status::ALL.iter().copied().filter(|status| by_default(*status)).collect();
    }
    statuses.retain(|status| status.is_final());
    SubmissionFilter { statuses, deleted: DeletedFilter::Exclude, ..filter }
}

impl Store {
    pub async fn count_changeable(&self, change: &BulkChange) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        Ok(change.query().count().get_result(&mut connection).await?)
    }

    /// Applies the action to up to `limit` matching submissions, oldest first, in several transactions. `each` is the
    /// audit entry for each submission, and `summary` is the final audit entry for all submissions. An error does not
    /// undo earlier changes.
    pub async fn change_matching(
        &self,
        change: &BulkChange,
        limit: i64,
        each: &NewAuditEntry,
        summary: &NewAuditEntry,
    ) -> StoreResult<BulkCounts> {
        let mut changed = 0;
        let mut after_cursor = None;
        while changed < limit {
            let batch = BATCH.min(limit - changed);
            let (next, count) = self.change_batch(change, after_cursor, batch, each).await?;
            changed += count;
            after_cursor = next;
            if after_cursor.is_none() {
                break;
            }
        }
        let remaining = self.count_changeable(change).await?;
        let name = match change.action {
            BulkAction::Retry => "retried",
            BulkAction::Resend => "resent",
        };
        let entry = summary.clone().with(name, changed).with("remaining", remaining);
        self.append_audit_entry(&entry).await?;
        Ok(BulkCounts { changed, remaining })
    }

    /// Changes one batch. Returns the last submission in the batch if more may follow, and the number of changes.
    async fn change_batch(
        &self,
        change: &BulkChange,
        after_cursor: Option<BulkCursor>,
        limit: i64,
        each: &NewAuditEntry,
    ) -> StoreResult<(Option<BulkCursor>, i64)> {
        transaction!(self, connection => {
            let found = change.next(connection, after_cursor, limit).await?;
            let mut entries = Vec::with_capacity(found.len());
            for (_, submission) in &found {
                let Some((status, number)) = lock_not_deleted(connection, *submission).await? else {
                    continue;
                };
                let current = RunKey { submission: *submission, number };
                entries.extend(change.apply(connection, current, status, each).await?);
            }
            // Locks the audit log last so that no transaction waits for other locks while holding this one.
            for entry in &entries {
                log::append(connection, entry).await?;
            }
            let is_last = i64::try_from(found.len()).is_ok_and(|count| count < limit);
            let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
            Ok((found.last().copied().filter(|_| !is_last), count))
        })
    }
}

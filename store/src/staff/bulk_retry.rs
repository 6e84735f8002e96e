//! Retries all submissions that match a filter.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::submissions;
use crate::db::utc_time::UtcTime;
use crate::listing::filter::{DeletedFilter, SubmissionFilter};
use crate::listing::query::matching_any_status;
use crate::staff::cancel_retry::queue_next_run;
use crate::submissions::row::lock_not_deleted;
use crate::submissions::status::Status;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Number of submissions per transaction. It is small, so that their locks are held only briefly.
const BATCH: i64 = 50;

type RetryCursor = (UtcTime, SubmissionId);

/// A filter that matches only submissions that can be retried: they have ended and are not deleted. A submission with a
/// result matches only if the filter names the state *completed*.
#[derive(Clone)]
pub struct RetryFilter(SubmissionFilter);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryCounts {
    pub retried: i64,
    pub remaining: i64,
}

impl From<SubmissionFilter> for RetryFilter {
    fn from(filter: SubmissionFilter) -> Self {
        let mut statuses = filter.statuses;
        if statuses.is_empty() {
            statuses =
                Status::ALL.iter().copied().filter(|one| *one != Status::Completed).collect();
        }
        statuses.retain(|status| status.is_final());
        Self(SubmissionFilter { statuses, deleted: DeletedFilter::Exclude, ..filter })
    }
}

impl RetryFilter {
    fn query(&self) -> submissions::BoxedQuery<'_, Mysql> {
        let Self(filter) = self;
        matching_any_status(filter).filter(submissions::status.eq_any(&filter.statuses))
    }

    /// The query split into parts, so that an index can return each part in the order of time.
    fn parts(&self) -> Vec<submissions::BoxedQuery<'_, Mysql>> {
        let Self(filter) = self;
        if filter.is_selective() {
            return vec![self.query()];
        }
        let of =
            |status: &Status| matching_any_status(filter).filter(submissions::status.eq(*status));
        filter.statuses.iter().map(of).collect()
    }

    /// The next matches after the cursor, oldest first.
    async fn next(
        &self,
        connection: &mut Connection,
        after_cursor: Option<RetryCursor>,
        limit: i64,
    ) -> StoreResult<Vec<RetryCursor>> {
        let mut found: Vec<RetryCursor> = Vec::new();
        for mut part in self.parts() {
            if let Some((at, id)) = after_cursor {
                part = part
                    .filter(submissions::created_at.ge(at))
                    .filter(submissions::created_at.gt(at).or(submissions::id.gt(id)));
            }
            let rows: Vec<RetryCursor> = part
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
}

impl Store {
    pub async fn count_retryable(&self, filter: &RetryFilter) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        Ok(filter.query().count().get_result(&mut connection).await?)
    }

    /// Retries up to `limit` matching submissions, oldest first, in several transactions. `each` is the audit entry
    /// for each submission, and `summary` the final entry for all of them. An error does not undo earlier retries.
    pub async fn retry_matching(
        &self,
        filter: &RetryFilter,
        limit: i64,
        each: &NewAuditEntry,
        summary: &NewAuditEntry,
    ) -> StoreResult<RetryCounts> {
        let mut retried = 0;
        let mut after_cursor = None;
        while retried < limit {
            let batch = BATCH.min(limit - retried);
            let (next, count) = self.retry_batch(filter, after_cursor, batch, each).await?;
            retried += count;
            after_cursor = next;
            if after_cursor.is_none() {
                break;
            }
        }
        let remaining = self.count_retryable(filter).await?;
        let entry = summary.clone().with("retried", retried).with("remaining", remaining);
        self.append_audit_entry(&entry).await?;
        Ok(RetryCounts { retried, remaining })
    }

    /// Returns the last submission of the batch if more may follow, and the number of retries.
    async fn retry_batch(
        &self,
        filter: &RetryFilter,
        after_cursor: Option<RetryCursor>,
        limit: i64,
        each: &NewAuditEntry,
    ) -> StoreResult<(Option<RetryCursor>, i64)> {
        transaction!(self, connection => {
            let found = filter.next(connection, after_cursor, limit).await?;
            let mut retried = Vec::with_capacity(found.len());
            for (_, submission) in &found {
                        let Some((status, number)) = lock_not_deleted(connection, *submission).await? else {
                    continue;
                };
                if filter.0.statuses.contains(&status) {
                    let current = RunKey { submission: *submission, number };
                    queue_next_run(connection, current, status, Duration::ZERO).await?;
                    retried.push(submission);
                }
            }
            // The audit log is locked last, so that a transaction never waits for other locks while it holds this one.
            for submission in &retried {
                let entry = NewAuditEntry { object_id: submission.to_string(), ..each.clone() };
                log::append(connection, &entry).await?;
            }
            let is_last = i64::try_from(found.len()).is_ok_and(|count| count < limit);
            let count = i64::try_from(retried.len()).unwrap_or(i64::MAX);
            Ok((found.last().copied().filter(|_| !is_last), count))
        })
    }
}

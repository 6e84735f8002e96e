//! Setting everything going again that a filter matches.

use crate::audit::log::{self, AuditEntry};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::submissions;
use crate::listing::filter::{Deleted, Filter};
use crate::listing::query::otherwise_matching;
use crate::staff::cancel_retry::queue_next;
use crate::submissions::row::lock_kept;
use crate::submissions::status::Status;
use chrono::NaiveDateTime;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Submissions that one transaction sets going again: few enough to hold their locks for a moment only.
const BATCH: i64 = 50;

/// When a submission was received, and its name: its place in the order of time.
type Place = (NaiveDateTime, SubmissionId);

/// A filter of the list, read as one of what can be set going again: nothing that is deleted, nor that has
/// not ended; and where no state is named, every end without a result.
#[derive(Clone)]
pub struct RetryFilter(Filter);

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryCounts {
    /// Set going again.
    pub retried: i64,
    /// Still matched by the filter afterwards.
    pub remaining: i64,
}

impl From<Filter> for RetryFilter {
    fn from(filter: Filter) -> Self {
        let mut statuses = filter.statuses;
        if statuses.is_empty() {
            statuses = Status::ALL.into_iter().filter(|one| *one != Status::Completed).collect();
        }
        statuses.retain(|status| status.is_final());
        Self(Filter { statuses, deleted: Deleted::Without, ..filter })
    }
}

impl RetryFilter {
    fn query(&self) -> submissions::BoxedQuery<'_, Mysql> {
        let Self(filter) = self;
        otherwise_matching(filter).filter(submissions::status.eq_any(&filter.statuses))
    }

    /// The same in parts, each of which an index gives in the order of time.
    fn parts(&self) -> Vec<submissions::BoxedQuery<'_, Mysql>> {
        let Self(filter) = self;
        if filter.selects_otherwise() {
            return vec![self.query()];
        }
        let of =
            |status: &Status| otherwise_matching(filter).filter(submissions::status.eq(*status));
        filter.statuses.iter().map(of).collect()
    }

    /// The next submissions after `beyond` that it matches, the oldest first.
    async fn next(
        &self,
        connection: &mut Connection,
        beyond: Option<Place>,
        limit: i64,
    ) -> StoreResult<Vec<Place>> {
        let mut found: Vec<Place> = Vec::new();
        for mut part in self.parts() {
            if let Some((at, id)) = beyond {
                part = part
                    .filter(submissions::created_at.ge(at))
                    .filter(submissions::created_at.gt(at).or(submissions::id.gt(id)));
            }
            let rows: Vec<Place> = part
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
    /// How many submissions a retry would set going again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn retry_matches(&self, filter: &RetryFilter) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        Ok(filter.query().count().get_result(&mut connection).await?)
    }

    /// Sets up to `limit` matching submissions going again, the oldest first, in transactions of a few
    /// each. Their new runs wait to be started. `each` is the line of the audit for every one of them,
    /// `whole` the one for all together, which comes last.
    ///
    /// # Errors
    /// When the database does not take it; what was set going before stays so.
    pub async fn retry_all(
        &self,
        filter: &RetryFilter,
        limit: i64,
        each: &AuditEntry,
        whole: &AuditEntry,
    ) -> StoreResult<RetryCounts> {
        let mut retried = 0;
        let mut beyond = None;
        while retried < limit {
            let batch = BATCH.min(limit - retried);
            let (next, count) = self.retry_batch(filter, beyond, batch, each).await?;
            retried += count;
            beyond = next;
            if beyond.is_none() {
                break;
            }
        }
        let remaining = self.retry_matches(filter).await?;
        let line = whole.clone().with("retried", retried).with("remaining", remaining);
        self.audit(&line).await?;
        Ok(RetryCounts { retried, remaining })
    }

    /// Sets the next submissions after `beyond` going again; returns the last one, where there may be
    /// more, and how many it were.
    async fn retry_batch(
        &self,
        filter: &RetryFilter,
        beyond: Option<Place>,
        limit: i64,
        each: &AuditEntry,
    ) -> StoreResult<(Option<Place>, i64)> {
        transaction!(self, connection => {
            let found = filter.next(connection, beyond, limit).await?;
            let mut retried = Vec::with_capacity(found.len());
            for (_, submission) in &found {
                // Somebody else may have been faster.
                let Some((status, number)) = lock_kept(connection, *submission).await? else {
                    continue;
                };
                if filter.0.statuses.contains(&status) {
                    let current = RunKey { submission: *submission, number };
                    queue_next(connection, current, status, Duration::ZERO).await?;
                    retried.push(submission);
                }
            }
            // The audit's lock comes after all others: whoever holds it waits for nobody.
            for submission in &retried {
                let line = AuditEntry { object_id: submission.to_string(), ..each.clone() };
                log::append(connection, &line).await?;
            }
            let is_last = i64::try_from(found.len()).is_ok_and(|count| count < limit);
            let count = i64::try_from(retried.len()).unwrap_or(i64::MAX);
            Ok((found.last().copied().filter(|_| !is_last), count))
        })
    }
}

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
use crate::runs::cancellation;
use crate::staff::cancel_retry::{cancel_run, queue_next_run};
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

#[derive(Debug, Clone)]
enum BulkAction {
    Cancel,
    Retry,
    Resend(ResendableStates),
}

/// The states of the e-mails that a bulk resend copies. A state is resendable only if a copy that has been sent no
/// longer matches. Otherwise, a repeated request would send patients one copy after another.
#[derive(Debug, Clone)]
struct ResendableStates(Vec<EmailState>);

/// The filter contains the state of an e-mail that cannot be resent in bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("e-mails in the state {0} cannot be resent in bulk")]
pub struct NotResendable(pub EmailState);

impl ResendableStates {
    /// If no states are given, only *failed* e-mails match.
    fn parse(states: &[EmailState]) -> Result<Self, NotResendable> {
        let other =
            states.iter().find(|state| !matches!(state, EmailState::Failed | EmailState::Unknown));
        match (states, other) {
            (_, Some(other)) => Err(NotResendable(*other)),
            ([], None) => Ok(Self(vec![EmailState::Failed])),
            (states, None) => Ok(Self(states.to_vec())),
        }
    }
}

/// An action, and a filter that matches only submissions to which it can be applied. Deleted submissions never match.
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
    /// Cancels submissions that have not ended and have not been cancelled yet.
    pub fn cancel(filter: SubmissionFilter) -> Self {
        let filter = restricted(filter, |status| !status.is_final(), |_| true);
        Self { action: BulkAction::Cancel, filter }
    }

    /// Retries submissions. A submission with a result matches only if the filter includes the state *completed*.
    pub fn retry(filter: SubmissionFilter) -> Self {
        let filter = restricted(filter, Status::is_final, |status| status != Status::Completed);
        Self { action: BulkAction::Retry, filter }
    }

    /// Plans a copy of each submission's latest e-mail if that e-mail *failed*. An e-mail whose outcome is *unknown*
    /// matches only if the filter includes that state.
    pub fn resend(filter: SubmissionFilter) -> Result<Self, NotResendable> {
        let states = ResendableStates::parse(&filter.email_states)?;
        let mut filter = restricted(filter, Status::is_final, |_| true);
        filter.email_states.clone_from(&states.0);
        Ok(Self { action: BulkAction::Resend(states), filter })
    }

    fn query(&self) -> submissions::BoxedQuery<'_, Mysql> {
        self.query_any_status().filter(submissions::status.eq_any(&self.filter.statuses))
    }

    fn query_any_status(&self) -> submissions::BoxedQuery<'_, Mysql> {
        let query = matching_any_status(&self.filter);
        match self.action {
            BulkAction::Cancel => query.filter(cancellation::is_not_requested()),
            BulkAction::Retry | BulkAction::Resend(_) => query,
        }
    }

    /// Splits the query into parts that an index can return in time order.
    fn parts(&self) -> Vec<submissions::BoxedQuery<'_, Mysql>> {
        if self.filter.is_selective() {
            return vec![self.query()];
        }
        let of = |status: &Status| self.query_any_status().filter(submissions::status.eq(*status));
        self.filter.statuses.iter().map(of).collect()
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
        match &self.action {
            BulkAction::Cancel => {
                let (_, is_first) = cancel_run(connection, current, status).await?;
                Ok(is_first.then_some(entry))
            }
            BulkAction::Retry => {
                queue_next_run(connection, current, status, Duration::ZERO).await?;
                Ok(Some(entry))
            }
            BulkAction::Resend(states) => {
                let resent = resend_latest(connection, submission, status, &states.0).await?;
                Ok(resent.map(|(delivery, copy)| {
                    entry.with("delivery", delivery.to_string()).with("copy", copy.to_string())
                }))
            }
        }
    }
}

/// Restricts a filter to submissions that are in a `possible` state and have not been deleted. `by_default` selects the
/// possible states that match if the filter lists none.
fn restricted(
    filter: SubmissionFilter,
    possible: impl Fn(Status) -> bool,
    by_default: impl Fn(Status) -> bool,
) -> SubmissionFilter {
    let mut statuses = filter.statuses;
    if statuses.is_empty() {
        statuses = Status::ALL.iter().copied().filter(|status| by_default(*status)).collect();
    }
    statuses.retain(|status| possible(*status));
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
        let entry = summary.clone().with("changed", changed).with("remaining", remaining);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn states(given: &[EmailState]) -> Result<Vec<EmailState>, NotResendable> {
        let filter = SubmissionFilter { email_states: given.to_vec(), ..Default::default() };
        BulkChange::resend(filter).map(|change| change.filter.email_states)
    }

    #[test]
    fn only_failed_and_unknown_emails_can_be_resent() {
        assert_eq!(states(&[]), Ok(vec![EmailState::Failed]));
        assert_eq!(states(&[EmailState::Unknown]), Ok(vec![EmailState::Unknown]));
        let both = [EmailState::Failed, EmailState::Unknown];
        assert_eq!(states(&both), Ok(both.to_vec()));
        for other in
            [EmailState::Planned, EmailState::Overdue, EmailState::Sending, EmailState::Sent]
        {
            assert_eq!(states(&[other]), Err(NotResendable(other)));
            assert_eq!(states(&[EmailState::Failed, other]), Err(NotResendable(other)));
        }
    }
}

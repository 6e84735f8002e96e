//! The state of a submission's latest e-mail. Staff search by this state to find e-mails that did not reach patients.

use crate::db::clock::before;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::{deliveries, submissions};
use crate::deliveries::model::DeliveryStatus;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use std::time::Duration;
use strum::{Display, EnumString, VariantNames};

/// Age at which a planned e-mail counts as overdue. An e-mail is normally sent within seconds.
const OVERDUE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum EmailState {
    /// Planned within the last hour.
    Planned,
    /// Planned more than an hour ago.
    Overdue,
    Sending,
    Sent,
    Unknown,
    Failed,
}

impl EmailState {
    /// The states that submissions can be filtered by. Almost all e-mails are *sent*, so filtering by that state would
    /// read the whole table.
    pub const SEARCHABLE: [EmailState; 5] =
        [Self::Planned, Self::Overdue, Self::Sending, Self::Unknown, Self::Failed];

    pub(crate) fn of(status: DeliveryStatus, is_overdue: bool) -> Self {
        match status {
            DeliveryStatus::Planned if is_overdue => Self::Overdue,
            DeliveryStatus::Planned => Self::Planned,
            DeliveryStatus::Sending => Self::Sending,
            DeliveryStatus::Sent => Self::Sent,
            DeliveryStatus::Unknown => Self::Unknown,
            DeliveryStatus::Failed => Self::Failed,
        }
    }

    /// Returns a condition on a row of `deliveries`, which the database can evaluate using the index
    /// `deliveries_by_status`.
    fn condition(self) -> String {
        let hour = OVERDUE.as_secs();
        let planned = "deliveries.status = 'planned' AND deliveries.created_at";
        match self {
            Self::Planned => format!("({planned} > NOW(6) - INTERVAL {hour} SECOND)"),
            Self::Overdue => format!("({planned} <= NOW(6) - INTERVAL {hour} SECOND)"),
            Self::Sending | Self::Sent | Self::Unknown | Self::Failed => {
                format!("deliveries.status = '{self}'")
            }
        }
    }
}

/// Returns a condition that matches submissions whose newest run's latest e-mail is in one of the states, each of which
/// must be [`EmailState::SEARCHABLE`].
pub(crate) fn latest_email_is(states: &[EmailState]) -> SqlLiteral<Bool> {
    let states: Vec<_> = states.iter().map(|state| state.condition()).collect();
    // Without the index hint, the database often reads all submissions and looks up each one's e-mail.
    sql(&format!(
        "submissions.id IN (SELECT deliveries.submission_id FROM deliveries \
         FORCE INDEX (deliveries_by_status) WHERE ({}) \
         AND deliveries.run_number = submissions.run_number AND NOT EXISTS (SELECT 1 \
         FROM deliveries AS newer WHERE newer.submission_id = deliveries.submission_id \
         AND newer.run_number = deliveries.run_number AND newer.copy > deliveries.copy))",
        states.join(" OR ")
    ))
}

impl Store {
    /// Returns the state of each run's latest e-mail. Runs without an e-mail are omitted.
    pub async fn email_states(
        &self,
        runs: &[RunKey],
    ) -> StoreResult<HashMap<SubmissionId, EmailState>> {
        let ids: Vec<_> = runs.iter().map(|run| run.submission).collect();
        let numbers: HashMap<_, _> = runs.iter().map(|run| (run.submission, run.number)).collect();
        let found: Vec<(SubmissionId, i32, i32, DeliveryStatus, bool)> = deliveries::table
            .filter(deliveries::submission_id.eq_any(ids))
            .select((
                deliveries::submission_id,
                deliveries::run_number,
                deliveries::copy,
                deliveries::status,
                deliveries::created_at.le(before(OVERDUE)),
            ))
            .load(&mut self.connection().await?)
            .await?;
        let mut latest: HashMap<_, (i32, EmailState)> = HashMap::new();
        for (submission, number, copy, status, is_overdue) in found {
            let is_newer = latest.get(&submission).is_none_or(|(known, _)| *known < copy);
            if numbers.get(&submission) == Some(&number) && is_newer {
                latest.insert(submission, (copy, EmailState::of(status, is_overdue)));
            }
        }
        Ok(latest.into_iter().map(|(submission, (_, state))| (submission, state)).collect())
    }

    /// Counts the submissions that staff find by [`EmailState::Overdue`].
    ///
    /// Plan: range of `deliveries_by_status`, and lookup of each overdue e-mail's submission by primary key.
    pub async fn count_overdue_emails(&self) -> StoreResult<i64> {
        let count = submissions::table
            .filter(submissions::deleted_at.is_null())
            .filter(latest_email_is(&[EmailState::Overdue]))
            .count()
            .get_result(&mut self.connection().await?)
            .await?;
        Ok(count)
    }
}

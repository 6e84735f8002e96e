//! Erasure settings, the retention period, and submissions whose retention period has ended.

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{deliveries, submissions};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::DeliveryKind;
use crate::settings::within;
use crate::submissions::status::Status;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// One hundred years.
const MAX_DAYS: u64 = 36_500;

#[derive(Debug, Clone, Deserialize)]
pub struct ErasureSettings {
    #[serde(rename = "ERASURE_LOG")]
    pub log: Option<PathBuf>,
    #[serde(rename = "RETENTION_DAYS")]
    pub retention: Option<RetentionPeriod>,
}

/// How long a submission is stored after it has ended and the last e-mail about it has been settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPeriod {
    days: NonZeroU32,
}

impl RetentionPeriod {
    pub fn of_days(days: NonZeroU32) -> Self {
        Self { days }
    }

    pub fn days(self) -> u32 {
        self.days.get()
    }

    fn duration(self) -> Duration {
        DAY * self.days()
    }
}

impl<'de> Deserialize<'de> for RetentionPeriod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        within::<_, _, 1, MAX_DAYS>(deserializer).map(|days| Self { days })
    }
}

/// Whether a submission ended, and its last e-mail was settled, at least one retention period ago. A result that could
/// not be sent yet must not be erased. E-mails with a new link do not count, because whoever has an old link could
/// request them again and again.
macro_rules! ended_before {
    ($period:expr) => {{
        let later_email = deliveries::table
            .filter(deliveries::submission_id.eq(submissions::id))
            .filter(deliveries::kind.ne(DeliveryKind::Link))
            .filter(
                deliveries::settled_at
                    .is_null()
                    .or(deliveries::settled_at.gt(before($period.duration()).nullable())),
            );
        submissions::finished_at
            .le(before($period.duration()).nullable())
            .and(not(exists(later_email)))
    }};
}

/// A submission that has been stored for longer than the retention period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct ExpiredSubmission {
    pub id: SubmissionId,
    pub status: Status,
    pub finished_at: UtcTime,
}

impl Store {
    /// Returns up to `limit` submissions whose retention period has ended and that have not been erased, oldest first.
    /// `after` is the last submission of the previous call.
    pub async fn expired_submissions(
        &self,
        period: RetentionPeriod,
        after: Option<ExpiredSubmission>,
        limit: i64,
    ) -> StoreResult<Vec<ExpiredSubmission>> {
        let (at, id) =
            after.map_or_else(Default::default, |after| (after.finished_at, after.id.to_string()));
        let found = submissions::table
            .filter(submissions::erased_at.is_null())
            .filter(ended_before!(period))
            .filter(submissions::finished_at.ge(at))
            .filter(submissions::finished_at.gt(at).or(submissions::id.gt(id).nullable()))
            .order((submissions::finished_at, submissions::id))
            .limit(limit)
            .select((
                submissions::id,
                submissions::status,
                submissions::finished_at.assume_not_null(),
            ))
            .load(&mut self.connection().await?)
            .await?;
        Ok(found)
    }
}

impl Store {
    /// Returns the given submissions that have been erased.
    pub async fn erased_among(&self, ids: &[SubmissionId]) -> StoreResult<HashSet<SubmissionId>> {
        let found: Vec<SubmissionId> = submissions::table
            .filter(submissions::id.eq_any(ids))
            .filter(submissions::erased_at.is_not_null())
            .select(submissions::id)
            .load(&mut self.connection().await?)
            .await?;
        Ok(found.into_iter().collect())
    }
}

/// The caller must hold the submission's lock.
pub(super) async fn is_expired(
    connection: &mut Connection,
    submission: SubmissionId,
    period: RetentionPeriod,
) -> StoreResult<bool> {
    let found: i64 = submissions::table
        .find(submission)
        .filter(submissions::erased_at.is_null())
        .filter(ended_before!(period))
        .count()
        .get_result(connection)
        .await?;
    Ok(found == 1)
}

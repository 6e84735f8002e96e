//! How many patients may not have received their e-mail?

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::{deliveries, submissions};
use crate::deliveries::model::DeliveryStatus;
use crate::overview::WEEK;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsettledEmails {
    /// Number of submissions whose latest e-mail was planned more than an hour ago and has not been sent.
    pub overdue: i64,
    /// Number of submissions whose latest e-mail was planned within the last 7 days and failed.
    pub failed: i64,
    /// Number of submissions whose latest e-mail was planned within the last 7 days and may not have arrived.
    pub unknown: i64,
}

impl Store {
    /// Plan: range scans of `deliveries_by_status`. For each overdue e-mail, and each failed or unknown e-mail of the last
    /// 7 days, its submission is read by primary key.
    pub async fn unsettled_emails(&self) -> StoreResult<UnsettledEmails> {
        let overdue = self.count_overdue_emails().await?;
        let mut connection = self.connection().await?;
        Ok(UnsettledEmails {
            overdue,
            failed: count_latest(&mut connection, DeliveryStatus::Failed).await?,
            unknown: count_latest(&mut connection, DeliveryStatus::Unknown).await?,
        })
    }
}

/// Counts the submissions whose newest run's latest e-mail has this status and was planned within the last 7 days.
async fn count_latest(connection: &mut Connection, status: DeliveryStatus) -> StoreResult<i64> {
    let of_newest_run = submissions::id
        .eq(deliveries::submission_id)
        .and(submissions::run_number.eq(deliveries::run_number));
    let is_latest = sql::<Bool>(
        "NOT EXISTS (SELECT 1 FROM deliveries AS newer \
         WHERE newer.submission_id = deliveries.submission_id \
         AND newer.run_number = deliveries.run_number AND newer.copy > deliveries.copy)",
    );
    let count = deliveries::table
        .inner_join(submissions::table.on(of_newest_run))
        .filter(deliveries::status.eq(status))
        .filter(deliveries::created_at.gt(before(WEEK)))
        .filter(submissions::deleted_at.is_null())
        .filter(is_latest)
        .count()
        .get_result(connection)
        .await?;
    Ok(count)
}

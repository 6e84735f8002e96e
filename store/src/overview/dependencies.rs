//! What do we know about the servers that Diagflow depends on?

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::{deliveries, submissions};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::DeliveryStatus;
use crate::loopai::admission::read_breaker;
use crate::loopai::breaker::BreakerState;
use crate::overview::WEEK;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

/// The latest contacts with LoopAI, by all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiContact {
    pub breaker: BreakerState,
    pub failed_at: Option<UtcTime>,
    /// Whether LoopAI has accepted a request since then.
    pub has_recovered: bool,
    /// Time of the latest result.
    pub result_at: Option<UtcTime>,
}

/// The latest e-mails, by all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailContact {
    pub sent_at: Option<UtcTime>,
    /// The newest e-mail of the last 7 days that the mail server has not accepted: the time at which it was planned, and
    /// its error code.
    pub failed: Option<(UtcTime, Option<String>)>,
}

/// Matches the failure codes for problems with the mail server. All other codes are our own reasons, such as that the
/// submission was deleted.
const MAIL_SERVER_CODES: &str = "smtp\\_%";

impl Store {
    /// Returns the version of the database server.
    pub async fn database_version(&self) -> StoreResult<String> {
        let version = diesel::select(sql::<Text>("VERSION()"));
        Ok(version.get_result(&mut self.connection().await?).await?)
    }

    /// Plan: the single row of `loopai_breaker`, and the last completed submission in `submissions_by_end`, covering.
    pub async fn loopai_contact(&self) -> StoreResult<LoopAiContact> {
        let mut connection = self.connection().await?;
        let (breaker, _) = read_breaker(&mut connection).await?;
        let (failed_at, succeeded_at) = breaker.latest_outcomes();
        let result_at = submissions::table
            .filter(submissions::status.eq(Status::Completed))
            .order(submissions::finished_at.desc())
            .select(submissions::finished_at)
            .first::<Option<UtcTime>>(&mut connection)
            .await
            .optional()?
            .flatten();
        let has_recovered = failed_at <= succeeded_at || failed_at < result_at;
        Ok(LoopAiContact { breaker: breaker.state(), failed_at, has_recovered, result_at })
    }

    /// Plan: for each status, range scan of `deliveries_by_status` from its end, until the first e-mail that matches.
    pub async fn email_contact(&self) -> StoreResult<EmailContact> {
        let mut connection = self.connection().await?;
        let sent_at = deliveries::table
            .filter(deliveries::status.eq(DeliveryStatus::Sent))
            .order(deliveries::created_at.desc())
            .select(deliveries::settled_at)
            .first::<Option<UtcTime>>(&mut connection)
            .await
            .optional()?
            .flatten();
        let mut failed = None;
        for status in [DeliveryStatus::Failed, DeliveryStatus::Unknown, DeliveryStatus::Planned] {
            failed = failed.max(latest_failure(&mut connection, status).await?);
        }
        Ok(EmailContact { sent_at, failed })
    }
}

async fn latest_failure(
    connection: &mut Connection,
    status: DeliveryStatus,
) -> StoreResult<Option<(UtcTime, Option<String>)>> {
    let found = deliveries::table
        .filter(deliveries::status.eq(status))
        .filter(deliveries::created_at.gt(before(WEEK)))
        .filter(deliveries::error_code.like(MAIL_SERVER_CODES))
        .order(deliveries::created_at.desc())
        .select((deliveries::created_at, deliveries::error_code))
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

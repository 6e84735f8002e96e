//! Marks runs whose patients may have been notified before the database was restored from a backup. When a marked run's
//! e-mail is planned, it is immediately settled as *unknown*. The e-mail is not sent automatically; staff decide
//! whether to resend it.

use crate::codes::FailureCode;
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, RunKey, SubmissionId};
use crate::db::schema::{deliveries, runs};
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::DeliveryStatus;
use crate::submissions::events;
use crate::submissions::row::lock;
use crate::submissions::steps::Step;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use strum::{Display, EnumString};

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum MaybeNotified {
    /// The patient was notified only if Temporal has closed the run. An open run has not sent its e-mail yet.
    IfClosed,
    Unknown,
}
stored_as_text!(MaybeNotified);

/// Marks a run. Returns `false` if the run already had this mark.
pub(crate) async fn mark(
    connection: &mut Connection,
    run: RunKey,
    maybe_notified: MaybeNotified,
) -> StoreResult<bool> {
    let changed = diesel::update(
        runs::table
            .find((run.submission, run.number))
            .filter(runs::maybe_notified.is_null().or(runs::maybe_notified.ne(maybe_notified))),
    )
    .set(runs::maybe_notified.eq(maybe_notified))
    .execute(connection)
    .await?;
    Ok(changed == 1)
}

/// Records that Temporal has closed a run whose outcome is missing from the database. If the run is marked, its patient
/// may have been notified.
pub(crate) async fn run_closed(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    diesel::update(
        runs::table
            .find((run.submission, run.number))
            .filter(runs::maybe_notified.eq(MaybeNotified::IfClosed)),
    )
    .set(runs::maybe_notified.eq(MaybeNotified::Unknown))
    .execute(connection)
    .await?;
    Ok(())
}

/// Settles a newly planned e-mail as *unknown* if the patient may already have been notified.
pub(crate) async fn hold_for_staff(
    connection: &mut Connection,
    run: RunKey,
    delivery: DeliveryId,
) -> StoreResult<()> {
    let row = runs::table.find((run.submission, run.number));
    let maybe_notified: Option<MaybeNotified> =
        row.select(runs::maybe_notified).first(connection).await?;
    if maybe_notified == Some(MaybeNotified::Unknown) {
        settle_unknown(connection, delivery, run.submission).await?;
    }
    Ok(())
}

pub(crate) async fn settle_unknown(
    connection: &mut Connection,
    delivery: DeliveryId,
    submission: SubmissionId,
) -> StoreResult<()> {
    let Some((submission_status, _)) = lock(connection, submission).await? else { return Ok(()) };
    let settled =
        diesel::update(deliveries::table.find(delivery).filter(deliveries::settled_at.is_null()))
            .set((
                deliveries::status.eq(DeliveryStatus::Unknown),
                deliveries::error_code.eq(FailureCode::Restored.as_str()),
                deliveries::settled_at.eq(now().nullable()),
                deliveries::start_after.eq(None::<UtcTime>),
            ))
            .execute(connection)
            .await?;
    if settled == 1 {
        events::append(connection, submission, submission_status, &[Step::MailUnknown]).await?;
    }
    Ok(())
}

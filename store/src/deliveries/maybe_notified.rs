//! Runs whose patient may already have been notified, because the database was restored from a backup. Their e-mail is
//! settled as *unknown* when it is planned, so it is not sent automatically, and staff decide whether to resend it.

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
    /// Only if Temporal has closed the run. An open run has not sent its e-mail yet.
    IfClosed,
    Unknown,
}
stored_as_text!(MaybeNotified);

/// Marks a run. Returns whether the mark is new.
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

/// Call this for a run that Temporal has closed and whose end is not recorded here. If the run is marked, its patient
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

/// Settles an e-mail that was just planned, if the patient may already have received it.
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

/// Settles an e-mail as *unknown*, unless it is settled already.
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

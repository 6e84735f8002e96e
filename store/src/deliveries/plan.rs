//! Plans e-mails, and cancels planned e-mails that must no longer be sent.

use crate::codes::FailureCode;
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, FIRST_RUN, RunKey, SubmissionId};
use crate::db::schema::deliveries;
use crate::db::utc_time::UtcTime;
use crate::deliveries::maybe_notified;
use crate::deliveries::model::{DeliveryKind, DeliveryStatus, NO_RUN};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::ops::Range;

macro_rules! cancelled {
    ($code:expr) => {
        (
            deliveries::status.eq(DeliveryStatus::Failed),
            deliveries::error_code.eq($code.as_str()),
            deliveries::settled_at.eq(now().nullable()),
            deliveries::start_after.eq(None::<UtcTime>),
        )
    };
}

/// Plans an e-mail. A run has at most one e-mail of each kind. Cancels outdated e-mails from earlier runs.
pub(crate) async fn plan(
    connection: &mut Connection,
    run: RunKey,
    kind: DeliveryKind,
) -> StoreResult<()> {
    supersede(connection, run).await?;
    let id = DeliveryId::new();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::submission_id.eq(run.submission),
            deliveries::run_number.eq(run.number),
            deliveries::kind.eq(kind),
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::attempts.eq(0),
            deliveries::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    maybe_notified::hold_for_staff(connection, run, id).await
}

pub(crate) async fn supersede(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    cancel(connection, run.submission, FIRST_RUN..run.number, FailureCode::Superseded).await
}

/// Cancels the planned e-mails of a deleted submission. The caller must hold the submission's lock.
pub(crate) async fn cancel_for_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    cancel(connection, submission, NO_RUN..i32::MAX, FailureCode::SubmissionDeleted).await
}

/// Cancels a planned e-mail that has a newer copy. The caller must hold the submission's lock.
pub(crate) async fn supersede_by_copy(
    connection: &mut Connection,
    delivery: DeliveryId,
) -> StoreResult<()> {
    let planned = deliveries::status.eq(DeliveryStatus::Planned);
    diesel::update(deliveries::table.find(delivery).filter(planned))
        .set(cancelled!(FailureCode::Superseded))
        .execute(connection)
        .await?;
    Ok(())
}

/// Settles the planned e-mails of some runs as *failed*.
async fn cancel(
    connection: &mut Connection,
    submission: SubmissionId,
    runs: Range<i32>,
    code: FailureCode,
) -> StoreResult<()> {
    diesel::update(
        deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .filter(deliveries::run_number.ge(runs.start))
            .filter(deliveries::run_number.lt(runs.end))
            .filter(deliveries::status.eq(DeliveryStatus::Planned)),
    )
    .set(cancelled!(code))
    .execute(connection)
    .await?;
    Ok(())
}

//! Sending an e-mail again: one more copy of it in the ledger, which is delivered outside a run.

use crate::audit::entry::UNDER_WAY;
use crate::audit::log::{self, AuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::deliveries;
use crate::deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
use crate::submissions::row::lock_kept;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// What came of the wish to send an e-mail again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resending {
    /// A new copy is owed.
    Planned(DeliveryId),
    /// One of its copies is on its way already.
    UnderWay(DeliveryId),
    /// It tells what does not hold any more: the submission was set going again since.
    Overtaken,
    /// No such delivery of this submission, or the submission is deleted.
    Missing,
}

impl Store {
    /// Plans one more copy of an e-mail that is settled, whatever came of it.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn resend(
        &self,
        submission: SubmissionId,
        delivery: DeliveryId,
        entry: &AuditEntry,
    ) -> StoreResult<Resending> {
        transaction!(self, connection => {
            let Some((status, _)) = lock_kept(connection, submission).await? else {
                return Ok(Resending::Missing);
            };
            let all: Vec<Delivery> = deliveries::table
                .filter(deliveries::submission_id.eq(submission))
                .select(Delivery::as_select())
                .load(connection)
                .await?;
            let Some(wanted) = all.iter().find(|one| one.id == delivery) else {
                return Ok(Resending::Missing);
            };
            if !still_holds(wanted, &all, status) {
                log::append(connection, &entry.clone().refused("overtaken")).await?;
                return Ok(Resending::Overtaken);
            }
            let came_of_it = copy(connection, wanted, &all).await?;
            let entry = match came_of_it {
                Resending::Planned(copy) => entry.clone().with("copy", copy.to_string()),
                _ => entry.clone().refused(UNDER_WAY),
            };
            log::append(connection, &entry).await?;
            Ok(came_of_it)
        })
    }
}

/// Whether an e-mail tells how its submission stands now: it is of that kind, and no later run owed one.
fn still_holds(wanted: &Delivery, all: &[Delivery], status: Status) -> bool {
    let kind = match status {
        Status::Pending | Status::Processing => return false,
        Status::Completed => DeliveryKind::Result,
        Status::Failed => DeliveryKind::Failed,
        Status::TimedOut => DeliveryKind::TimedOut,
        Status::Cancelled => DeliveryKind::Cancelled,
    };
    wanted.kind == kind && all.iter().all(|other| other.run_number <= wanted.run_number)
}

async fn copy(
    connection: &mut Connection,
    wanted: &Delivery,
    all: &[Delivery],
) -> StoreResult<Resending> {
    let same =
        || all.iter().filter(|one| one.run_number == wanted.run_number && one.kind == wanted.kind);
    if let Some(under_way) = same().find(|one| one.settled_at.is_none()) {
        return Ok(Resending::UnderWay(under_way.id));
    }
    let newest = same().map(|one| one.copy).max().unwrap_or_default();
    let id = DeliveryId::new();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::submission_id.eq(wanted.submission_id),
            deliveries::run_number.eq(wanted.run_number),
            deliveries::kind.eq(wanted.kind),
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::attempts.eq(0),
            deliveries::created_at.eq(now()),
            deliveries::copy.eq(newest + 1),
            deliveries::start_after.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(Resending::Planned(id))
}

//! Resends an e-mail by planning another copy, which a standalone workflow delivers.

use crate::audit::entry::IN_PROGRESS;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::deliveries;
use crate::deliveries::email_state::EmailState;
use crate::deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
use crate::submissions::row::lock_not_deleted;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendOutcome {
    Planned(DeliveryId),
    InProgress(DeliveryId),
    /// The e-mail is out of date because the submission has since been retried.
    Superseded,
    NotFound,
}

impl Store {
    /// Plans another copy of a settled e-mail, whatever its outcome.
    pub async fn resend_delivery(
        &self,
        submission: SubmissionId,
        delivery: DeliveryId,
        entry: &NewAuditEntry,
    ) -> StoreResult<ResendOutcome> {
        transaction!(self, connection => {
            let Some((status, _)) = lock_not_deleted(connection, submission).await? else {
                return Ok(ResendOutcome::NotFound);
            };
            let all: Vec<Delivery> = deliveries::table
                .filter(deliveries::submission_id.eq(submission))
                .select(Delivery::as_select())
                .load(connection)
                .await?;
            let Some(delivery_row) = all.iter().find(|one| one.id == delivery) else {
                return Ok(ResendOutcome::NotFound);
            };
            if !is_current(delivery_row, &all, status) {
                return Ok(ResendOutcome::Superseded);
            }
            let outcome = match same_email(delivery_row, &all).find(|one| one.settled_at.is_none()) {
                Some(in_progress) => ResendOutcome::InProgress(in_progress.id),
                None => ResendOutcome::Planned(plan_copy(connection, delivery_row, &all).await?),
            };
            let entry = match outcome {
                ResendOutcome::Planned(copy) => entry.clone().with("copy", copy.to_string()),
                _ => entry.clone().with_result(IN_PROGRESS),
            };
            log::append(connection, &entry).await?;
            Ok(outcome)
        })
    }
}

/// Whether an e-mail still describes the submission: its kind matches the state, and no later run has planned an
/// e-mail.
fn is_current(delivery_row: &Delivery, all: &[Delivery], status: Status) -> bool {
    let kind = match status {
        Status::Pending | Status::Processing => return false,
        Status::Completed => DeliveryKind::Result,
        Status::Failed => DeliveryKind::Failed,
        Status::TimedOut => DeliveryKind::TimedOut,
        Status::Cancelled => DeliveryKind::Cancelled,
    };
    delivery_row.kind == kind && all.iter().all(|other| other.run_number <= delivery_row.run_number)
}

/// Sends the latest e-mail to the submission's new address. A planned e-mail needs no copy because it will be sent to
/// the new address. For any other e-mail, a copy is planned, even if the e-mail is still being sent to the previous
/// address. Returns `None` if no e-mail is due yet.
pub(crate) async fn resend_to_new_address(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
) -> StoreResult<Option<ResendOutcome>> {
    let all = lock_deliveries(connection, submission).await?;
    let Some(latest) = latest_current(&all, status) else { return Ok(None) };
    Ok(Some(match latest.status {
        DeliveryStatus::Planned => ResendOutcome::InProgress(latest.id),
        _ => ResendOutcome::Planned(plan_copy(connection, latest, &all).await?),
    }))
}

/// Plans a copy of the latest e-mail if that e-mail is in one of the given states and still describes the submission.
/// Returns the ids of the e-mail and its copy. The caller must hold the submission's lock.
pub(crate) async fn resend_latest(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
    states: &[EmailState],
) -> StoreResult<Option<(DeliveryId, DeliveryId)>> {
    let all = lock_deliveries(connection, submission).await?;
    let Some(latest) = latest_current(&all, status) else { return Ok(None) };
    if !latest.status.is_settled() || !states.contains(&EmailState::of(latest.status, false)) {
        return Ok(None);
    }
    Ok(Some((latest.id, plan_copy(connection, latest, &all).await?)))
}

async fn lock_deliveries(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Vec<Delivery>> {
    let all = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .select(Delivery::as_select())
        .for_update()
        .load(connection)
        .await?;
    Ok(all)
}

/// Returns the newest copy of the e-mail that still describes a submission in the state `status`.
fn latest_current(all: &[Delivery], status: Status) -> Option<&Delivery> {
    all.iter().filter(|one| is_current(one, all, status)).max_by_key(|one| one.copy)
}

fn same_email<'a>(
    delivery_row: &Delivery,
    all: &'a [Delivery],
) -> impl Iterator<Item = &'a Delivery> {
    let (run, kind) = (delivery_row.run_number, delivery_row.kind);
    all.iter().filter(move |one| one.run_number == run && one.kind == kind)
}

async fn plan_copy(
    connection: &mut Connection,
    delivery_row: &Delivery,
    all: &[Delivery],
) -> StoreResult<DeliveryId> {
    let newest = same_email(delivery_row, all).map(|one| one.copy).max().unwrap_or_default();
    let id = DeliveryId::new();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::submission_id.eq(delivery_row.submission_id),
            deliveries::run_number.eq(delivery_row.run_number),
            deliveries::kind.eq(delivery_row.kind),
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::attempts.eq(0),
            deliveries::created_at.eq(now()),
            deliveries::copy.eq(newest + 1),
            deliveries::start_after.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(id)
}

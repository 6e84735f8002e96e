//! The statements that remove a submission's personal data. Every column that may contain personal data must be cleared
//! here (`tests/tests/it/erasure/columns.rs` checks all columns).

use crate::codes::FailureCode;
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{Sha256, SubmissionId, UserId};
use crate::db::schema::{deliveries, files, idempotency_keys, results, runs, submissions};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::DeliveryStatus;
use crate::deliveries::plan;
use crate::erasure::receipt::{ErasedFile, RemovedData};
use crate::files::orphans;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use std::collections::BTreeSet;
use std::time::Duration;

/// Prevents the submission's e-mails from being sent. If the text of an e-mail is already being sent, it cannot be
/// stopped; in that case, returns the time until the sender's claim expires. The caller must hold the submission's
/// lock.
pub(super) async fn stop_emails(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Option<Duration>> {
    // Locking the rows prevents senders from claiming an e-mail until the transaction ends.
    let found: Vec<(DeliveryStatus, Option<i64>)> = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .select((
            deliveries::status,
            sql::<Nullable<BigInt>>("TIMESTAMPDIFF(MICROSECOND, NOW(6), sending_until)"),
        ))
        .for_update()
        .load(connection)
        .await?;
    let sending = found.iter().filter(|(status, _)| *status == DeliveryStatus::Sending);
    let left = sending.filter_map(|(_, left)| u64::try_from((*left)?).ok()).max();
    if let Some(left) = left.filter(|left| *left > 0) {
        return Ok(Some(Duration::from_micros(left)));
    }
    let abandoned = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::status.eq(DeliveryStatus::Sending));
    diesel::update(abandoned)
        .set((
            deliveries::status.eq(DeliveryStatus::Unknown),
            deliveries::error_code.eq(FailureCode::SenderLost.as_str()),
            deliveries::settled_at.eq(now().nullable()),
            deliveries::start_after.eq(None::<UtcTime>),
        ))
        .execute(connection)
        .await?;
    plan::cancel_for_deleted(connection, submission).await?;
    Ok(None)
}

/// Removes all personal data. The caller must hold the submission's lock. The files' bytes are registered as orphaned,
/// and are deleted after the transaction.
pub(super) async fn remove_data(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<RemovedData> {
    let mut removed = remove_texts(connection, submission).await?;
    removed.error_texts += remove_delivery_details(connection, submission).await?;
    removed.results = diesel::delete(results::table.filter(results::submission_id.eq(submission)))
        .execute(connection)
        .await?;
    removed.files = remove_files(connection, submission).await?;
    forget_request_body(connection, submission).await?;
    let executions: Vec<Option<String>> = runs::table
        .filter(runs::submission_id.eq(submission))
        .order(runs::number)
        .select(runs::loopai_execution_id)
        .load(connection)
        .await?;
    removed.loopai_executions = executions.into_iter().flatten().collect();
    Ok(removed)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = submissions)]
struct Texts {
    comments: String,
    original_email: Option<String>,
    note: Option<String>,
    error_detail: Option<String>,
}

/// Removes the personal data in the submission's own row.
async fn remove_texts(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<RemovedData> {
    let row = submissions::table.find(submission);
    let before: Texts = row.select(Texts::as_select()).first(connection).await?;
    let placeholder = EmailAddress::erased();
    diesel::update(row)
        .set((
            submissions::email.eq(&placeholder),
            submissions::recipient.eq(placeholder.recipient()),
            submissions::original_email.eq(None::<String>),
            submissions::comments.eq(""),
            submissions::note.eq(None::<String>),
            submissions::error_detail.eq(None::<String>),
            // A patient's account identifies the patient.
            submissions::submitted_by.eq(None::<UserId>),
            submissions::assignee.eq(None::<UserId>),
            submissions::stuck_since.eq(None::<UtcTime>),
            submissions::stuck_cause.eq(None::<String>),
            submissions::revision.eq(submissions::revision + 1),
            submissions::erased_at.eq(now().nullable()),
            submissions::updated_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    Ok(RemovedData {
        email_addresses: 1 + usize::from(before.original_email.is_some()),
        comments: usize::from(!before.comments.is_empty()),
        notes: usize::from(is_text(&before.note)),
        error_texts: usize::from(is_text(&before.error_detail)),
        ..RemovedData::default()
    })
}

/// Removes mail server replies, which often repeat the recipient's address.
async fn remove_delivery_details(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<usize> {
    let with_details = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::error_detail.is_not_null());
    let removed = diesel::update(with_details)
        .set(deliveries::error_detail.eq(None::<String>))
        .execute(connection)
        .await?;
    Ok(removed)
}

async fn remove_files(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Vec<ErasedFile>> {
    let own = files::table.filter(files::submission_id.eq(submission));
    let found: Vec<(Sha256, i64)> =
        own.order(files::position).select((files::sha256, files::size)).load(connection).await?;
    diesel::delete(own).execute(connection).await?;
    let digests: Vec<Sha256> = found.iter().map(|(digest, _)| *digest).collect();
    // Waits for uploads that are storing the same bytes, so their submissions are found as well.
    orphans::register_erased(connection, &digests).await?;
    let shared: BTreeSet<Sha256> = files::table
        .filter(files::sha256.eq_any(&digests))
        .select(files::sha256)
        .load(connection)
        .await?
        .into_iter()
        .collect();
    let erased = found.into_iter().map(|(sha256, size)| {
        let shared = shared.contains(&sha256);
        ErasedFile { sha256, size, shared }
    });
    Ok(erased.collect())
}

/// Removes the request's digest but not its key, so a repeated request is still recognised and does not store the
/// submission again.
async fn forget_request_body(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    diesel::update(idempotency_keys::table.filter(idempotency_keys::submission_id.eq(submission)))
        .set(idempotency_keys::body_hash.eq(Sha256::of(b"")))
        .execute(connection)
        .await?;
    Ok(())
}

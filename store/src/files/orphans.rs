//! Orphaned files: stored bytes that no submission refers to, for example because an upload failed.
//!
//! Bytes are reserved before they are stored, and the transaction that stores their submission removes the reservation.
//! Sweeps delete the bytes of old reservations. A reservation's row is locked while its bytes are deleted. If the same
//! bytes are uploaded at the same time, the upload waits for the lock and then stores the bytes again.

use crate::db::clock::{before, now};
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::ids::Sha256;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{blob_reservations, files};
use crate::db::utc_time::UtcTime;
use crate::files::blobs::BlobStore;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Files of erased submissions are registered with a reservation dated 1970, which is older than any upload's
/// reservation.
const ERASED_AGE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweepOutcome {
    Removed,
    /// A submission refers to the bytes, or they have already been deleted.
    Settled,
    /// An upload is storing the bytes again, or has failed to store its submission.
    Reserved,
    Failed,
}

impl Store {
    /// Reserves bytes that are about to be stored. Call this before every [`BlobStore::put`].
    pub async fn reserve_blobs(&self, digests: &[Sha256]) -> StoreResult<()> {
        // Locks the rows in a fixed order so two uploads of the same images cannot deadlock.
        let mut digests = digests.to_vec();
        digests.sort_unstable_by_key(|digest| digest.to_string());
        digests.dedup();
        let rows: Vec<_> = digests
            .iter()
            .map(|digest| {
                (blob_reservations::sha256.eq(digest), blob_reservations::reserved_at.eq(now()))
            })
            .collect();
        transaction!(self, connection => {
            diesel::replace_into(blob_reservations::table).values(&rows).execute(connection).await?;
            Ok(())
        })
    }

    /// Deletes up to `limit` orphaned files whose reservation is older than `age`, and returns the number deleted. If
    /// the storage fails, the remaining files are left for the next sweep.
    pub async fn sweep_orphaned_files(
        &self,
        blobs: &BlobStore,
        age: Duration,
        limit: i64,
    ) -> StoreResult<usize> {
        let old: Vec<Sha256> = blob_reservations::table
            .filter(blob_reservations::reserved_at.le(before(age)))
            .order(blob_reservations::reserved_at)
            .limit(limit)
            .select(blob_reservations::sha256)
            .load(&mut self.connection().await?)
            .await?;
        let mut removed = 0;
        for digest in old {
            match self.sweep_file(blobs, digest, age).await? {
                SweepOutcome::Removed => removed += 1,
                SweepOutcome::Settled | SweepOutcome::Reserved => {}
                // If the storage fails for one file, it will probably fail for the next file too.
                SweepOutcome::Failed => break,
            }
        }
        Ok(removed)
    }

    /// Registers files whose bytes are to be deleted unless a submission refers to them.
    pub(crate) async fn reserve_erased_files(&self, digests: &[Sha256]) -> StoreResult<()> {
        transaction!(self, connection => { register_erased(connection, digests).await })
    }

    /// Deletes the bytes of a file registered as erased unless a submission refers to them. Returns `false` if the
    /// storage failed or an upload has reserved the bytes. A later sweep of orphaned files then deletes them, unless the
    /// upload's submission has been stored.
    pub(crate) async fn delete_erased_file(
        &self,
        blobs: &BlobStore,
        digest: Sha256,
    ) -> StoreResult<bool> {
        let outcome = self.sweep_file(blobs, digest, ERASED_AGE).await?;
        Ok(matches!(outcome, SweepOutcome::Removed | SweepOutcome::Settled))
    }

    async fn sweep_file(
        &self,
        blobs: &BlobStore,
        digest: Sha256,
        age: Duration,
    ) -> StoreResult<SweepOutcome> {
        transaction!(self, connection => {
            let is_old: Option<bool> = blob_reservations::table
                .find(digest)
                .select(blob_reservations::reserved_at.le(before(age)))
                .for_update()
                .first(connection)
                .await
                .optional()?;
            let Some(is_old) = is_old else { return Ok(SweepOutcome::Settled) };
            let is_referenced = diesel::select(diesel::dsl::exists(
                files::table.filter(files::sha256.eq(digest)),
            ))
            .get_result::<bool>(connection)
            .await?;
            if !is_old {
                return Ok(if is_referenced { SweepOutcome::Settled } else { SweepOutcome::Reserved });
            }
            if !is_referenced && let Err(error) = blobs.remove(digest).await {
                tracing::warn!(%error, "cannot delete an orphaned file");
                return Ok(SweepOutcome::Failed);
            }
            remove_reservations(connection, &[digest]).await?;
            Ok(if is_referenced { SweepOutcome::Settled } else { SweepOutcome::Removed })
        })
    }
}

/// Makes the next sweep delete the bytes of erased files. Files being uploaded at the same time are skipped because the
/// upload has a newer reservation.
pub(crate) async fn register_erased(
    connection: &mut Connection,
    digests: &[Sha256],
) -> StoreResult<()> {
    let mut digests = digests.to_vec();
    digests.sort_unstable_by_key(Sha256::to_string);
    digests.dedup();
    let rows: Vec<_> = digests
        .iter()
        .map(|digest| {
            (
                blob_reservations::sha256.eq(digest),
                blob_reservations::reserved_at.eq(UtcTime::default()),
            )
        })
        .collect();
    diesel::insert_or_ignore_into(blob_reservations::table)
        .values(rows)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes the reservations for a new submission's bytes. Call this before inserting the submission's files. Fails with
/// [`StoreError::BlobsSwept`] if a sweep has deleted some of the bytes.
pub(crate) async fn attach(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    let reserved: Vec<Sha256> = blob_reservations::table
        .filter(blob_reservations::sha256.eq_any(digests))
        .select(blob_reservations::sha256)
        .for_update()
        .load(connection)
        .await?;
    // If two submissions reserved the same bytes, the first one to be stored has removed the reservation and refers to
    // the bytes.
    let others: Vec<_> = digests.iter().filter(|digest| !reserved.contains(digest)).collect();
    if !others.is_empty() {
        // The lock delays an erasure of the other submission until this transaction has ended. Otherwise, the erasure
        // would not see the new reference and would delete the bytes.
        let referenced: Vec<Sha256> = files::table
            .filter(files::sha256.eq_any(&others))
            .select(files::sha256)
            .for_update()
            .load(connection)
            .await?;
        if others.iter().any(|digest| !referenced.contains(digest)) {
            return Err(StoreError::BlobsSwept);
        }
    }
    remove_reservations(connection, &reserved).await
}

async fn remove_reservations(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    diesel::delete(blob_reservations::table.filter(blob_reservations::sha256.eq_any(digests)))
        .execute(connection)
        .await?;
    Ok(())
}

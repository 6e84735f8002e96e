//! Orphaned files: stored bytes that no submission refers to. They come from uploads that failed or whose transaction
//! was not committed.
//!
//! Bytes are reserved here before they are stored, and the reservation is removed by the transaction of the
//! submission that refers to them. Old reservations are swept. The row of a reservation is locked while its bytes are
//! deleted. If the same bytes are uploaded meanwhile, the upload waits for the lock and then stores them again.

use crate::db::clock::{before, now};
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::ids::Sha256;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{blob_reservations, files};
use crate::files::blobs::BlobStore;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweepOutcome {
    Removed,
    /// A submission refers to the bytes, or an upload is storing them again.
    InUse,
    Failed,
}

impl Store {
    /// Reserves bytes that are about to be stored. Call this before every [`BlobStore::put`].
    pub async fn reserve_blobs(&self, digests: &[Sha256]) -> StoreResult<()> {
        // Sorted, so that two uploads of the same images do not deadlock.
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

    /// Deletes up to `limit` orphaned files whose reservation is older than `age`, and returns their number. If the
    /// storage fails, the rest is left for the next sweep.
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
                SweepOutcome::InUse => {}
                // If the storage fails for one file, it will probably fail for the next.
                SweepOutcome::Failed => break,
            }
        }
        Ok(removed)
    }

    async fn sweep_file(
        &self,
        blobs: &BlobStore,
        digest: Sha256,
        age: Duration,
    ) -> StoreResult<SweepOutcome> {
        transaction!(self, connection => {
            let still_old = blob_reservations::table
                .find(digest)
                .filter(blob_reservations::reserved_at.le(before(age)))
                .select(blob_reservations::sha256)
                .for_update()
                .first::<Sha256>(connection)
                .await
                .optional()?;
            if still_old.is_none() {
                return Ok(SweepOutcome::InUse);
            }
            let is_referenced = diesel::select(diesel::dsl::exists(
                files::table.filter(files::sha256.eq(digest)),
            ))
            .get_result::<bool>(connection)
            .await?;
            if !is_referenced && let Err(error) = blobs.remove(digest).await {
                tracing::warn!(%error, "cannot delete an orphaned file");
                return Ok(SweepOutcome::Failed);
            }
            remove_reservations(connection, &[digest]).await?;
            Ok(if is_referenced { SweepOutcome::InUse } else { SweepOutcome::Removed })
        })
    }
}

/// Removes the reservations of bytes that a submission is about to refer to. Call this before its files are inserted.
/// Fails with [`StoreError::BlobsSwept`] if some of the bytes were swept meanwhile.
pub(crate) async fn attach(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    let reserved: Vec<Sha256> = blob_reservations::table
        .filter(blob_reservations::sha256.eq_any(digests))
        .select(blob_reservations::sha256)
        .for_update()
        .load(connection)
        .await?;
    // Bytes without a reservation may have been reserved by two submissions, one of which now refers to them.
    let others: Vec<_> = digests.iter().filter(|digest| !reserved.contains(digest)).collect();
    if !others.is_empty() {
        let referenced: Vec<Sha256> = files::table
            .filter(files::sha256.eq_any(&others))
            .select(files::sha256)
            .distinct()
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

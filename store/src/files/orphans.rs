//! Bytes that no submission names: of uploads that broke off, or whose transaction was not committed.
//!
//! Bytes are announced here before they are stored, and taken out by the transaction of the submission that
//! names them. What is left after a while is swept. The row is locked while its bytes are removed, so whoever
//! stores the same bytes again waits with its announcement, and stores them after that.

use crate::db::clock::{before, now};
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::ids::Sha256;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{files, orphaned_files};
use crate::files::blobs::BlobStore;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// What became of bytes that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweepOutcome {
    /// Nobody names them: they are gone.
    Removed,
    /// A submission names them, or somebody stores them again.
    InUse,
    /// The storage did not remove them; they are tried again.
    Failed,
}

impl Store {
    /// Announces bytes that are about to be stored. To be called before every [`BlobStore::put`].
    pub async fn reserve_blobs(&self, digests: &[Sha256]) -> StoreResult<()> {
        // In one order, so that two uploads of the same images do not wait for each other.
        let mut digests = digests.to_vec();
        digests.sort_unstable_by_key(|digest| digest.to_string());
        digests.dedup();
        let rows: Vec<_> = digests
            .iter()
            .map(|digest| {
                (orphaned_files::sha256.eq(digest), orphaned_files::reserved_at.eq(now()))
            })
            .collect();
        transaction!(self, connection => {
            diesel::replace_into(orphaned_files::table).values(&rows).execute(connection).await?;
            Ok(())
        })
    }

    /// Removes bytes that nobody has named for the time `age`, at most `limit` of them; returns how many it
    /// removed.
    pub async fn sweep_orphaned_files(
        &self,
        blobs: &BlobStore,
        age: Duration,
        limit: i64,
    ) -> StoreResult<usize> {
        let old: Vec<Sha256> = orphaned_files::table
            .filter(orphaned_files::reserved_at.le(before(age)))
            .order(orphaned_files::reserved_at)
            .limit(limit)
            .select(orphaned_files::sha256)
            .load(&mut self.connection().await?)
            .await?;
        let mut removed = 0;
        for digest in old {
            match self.sweep_file(blobs, digest, age).await? {
                SweepOutcome::Removed => removed += 1,
                SweepOutcome::InUse => {}
                // Whoever cannot remove one will hardly remove the next.
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
            let still_old = orphaned_files::table
                .find(digest)
                .filter(orphaned_files::reserved_at.le(before(age)))
                .select(orphaned_files::sha256)
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
                tracing::warn!(%error, "bytes that nobody names cannot be removed");
                return Ok(SweepOutcome::Failed);
            }
            remove_reservations(connection, &[digest]).await?;
            Ok(if is_referenced { SweepOutcome::InUse } else { SweepOutcome::Removed })
        })
    }
}

/// Takes out bytes that a submission is about to name. To be called before its files are inserted.
pub(crate) async fn attach(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    let reserved: Vec<Sha256> = orphaned_files::table
        .filter(orphaned_files::sha256.eq_any(digests))
        .select(orphaned_files::sha256)
        .for_update()
        .load(connection)
        .await?;
    // Announced by two submissions, the first of which has named them meanwhile.
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
    diesel::delete(orphaned_files::table.filter(orphaned_files::sha256.eq_any(digests)))
        .execute(connection)
        .await?;
    Ok(())
}

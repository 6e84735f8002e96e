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
use crate::db::schema::{files, unnamed_bytes};
use crate::files::blobs::FileBytes;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// What became of bytes that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody names them: they are gone.
    Removed,
    /// A submission names them, or somebody stores them again.
    Kept,
    /// The storage did not remove them; they are tried again.
    NotYet,
}

impl Store {
    /// Announces bytes that are about to be stored. To be called before every [`FileBytes::put`].
    ///
    /// # Errors
    /// When the database does not take it; then nothing may be stored.
    pub async fn announce_bytes(&self, digests: &[Sha256]) -> StoreResult<()> {
        // In one order, so that two uploads of the same images do not wait for each other.
        let mut digests = digests.to_vec();
        digests.sort_unstable_by_key(|digest| digest.to_string());
        digests.dedup();
        let rows: Vec<_> = digests
            .iter()
            .map(|digest| (unnamed_bytes::sha256.eq(digest), unnamed_bytes::since.eq(now())))
            .collect();
        transaction!(self, connection => {
            diesel::replace_into(unnamed_bytes::table).values(&rows).execute(connection).await?;
            Ok(())
        })
    }

    /// Removes bytes that nobody has named for the time `age`, at most `limit` of them; returns how many it
    /// removed.
    ///
    /// # Errors
    /// When the database does not answer; when the storage does not, those bytes are left for the next time.
    pub async fn sweep_unnamed_bytes(
        &self,
        bytes: &FileBytes,
        age: Duration,
        limit: i64,
    ) -> StoreResult<usize> {
        let old: Vec<Sha256> = unnamed_bytes::table
            .filter(unnamed_bytes::since.le(before(age)))
            .order(unnamed_bytes::since)
            .limit(limit)
            .select(unnamed_bytes::sha256)
            .load(&mut self.connection().await?)
            .await?;
        let mut removed = 0;
        for digest in old {
            match self.sweep_digest(bytes, digest, age).await? {
                Fate::Removed => removed += 1,
                Fate::Kept => {}
                // Whoever cannot remove one will hardly remove the next.
                Fate::NotYet => break,
            }
        }
        Ok(removed)
    }

    async fn sweep_digest(
        &self,
        bytes: &FileBytes,
        digest: Sha256,
        age: Duration,
    ) -> StoreResult<Fate> {
        transaction!(self, connection => {
            let still_old = unnamed_bytes::table
                .find(digest)
                .filter(unnamed_bytes::since.le(before(age)))
                .select(unnamed_bytes::sha256)
                .for_update()
                .first::<Sha256>(connection)
                .await
                .optional()?;
            if still_old.is_none() {
                return Ok(Fate::Kept);
            }
            let is_named = diesel::select(diesel::dsl::exists(
                files::table.filter(files::sha256.eq(digest)),
            ))
            .get_result::<bool>(connection)
            .await?;
            if !is_named && let Err(error) = bytes.remove(digest).await {
                tracing::warn!(%error, "bytes that nobody names cannot be removed");
                return Ok(Fate::NotYet);
            }
            forget(connection, &[digest]).await?;
            Ok(if is_named { Fate::Kept } else { Fate::Removed })
        })
    }
}

/// Takes out bytes that a submission is about to name. To be called before its files are inserted.
///
/// # Errors
/// [`StoreError::Swept`] when some of them are gone: announced so long ago that they were swept.
pub(crate) async fn name(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    let announced: Vec<Sha256> = unnamed_bytes::table
        .filter(unnamed_bytes::sha256.eq_any(digests))
        .select(unnamed_bytes::sha256)
        .for_update()
        .load(connection)
        .await?;
    // Announced by two submissions, the first of which has named them meanwhile.
    let others: Vec<_> = digests.iter().filter(|digest| !announced.contains(digest)).collect();
    if !others.is_empty() {
        let named: Vec<Sha256> = files::table
            .filter(files::sha256.eq_any(&others))
            .select(files::sha256)
            .distinct()
            .load(connection)
            .await?;
        if others.iter().any(|digest| !named.contains(digest)) {
            return Err(StoreError::Swept);
        }
    }
    forget(connection, &announced).await
}

async fn forget(connection: &mut Connection, digests: &[Sha256]) -> StoreResult<()> {
    diesel::delete(unnamed_bytes::table.filter(unnamed_bytes::sha256.eq_any(digests)))
        .execute(connection)
        .await?;
    Ok(())
}

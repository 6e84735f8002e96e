//! Idempotency keys. A request first claims its key, and the transaction that stores the submission completes the
//! claim, so the key and the submission are stored together or not at all. If the process dies, its claim expires,
//! after which a repeated request can store the submission.
//!
//! A key is scoped to its sender: an account, or all clients without an account.

use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::expired_rows;
use crate::db::ids::{Sha256, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::idempotency_keys as keys;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;
use uuid::Uuid;

/// Digest of the sender and the key chosen by the sender. The key itself is not stored.
pub type IdempotencyKeyHash = Sha256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyClaim {
    key: IdempotencyKeyHash,
    token: String,
    lifetime: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// The caller must process the request and pass the claim to [`Store::create_submission`].
    Claimed(IdempotencyClaim),
    Completed(SubmissionId),
    InProgress,
    BodyMismatch,
}

impl Store {
    /// Claims a key for the duration of `lease`. `body` is the digest of the request body. A completed key is stored
    /// for the duration of `lifetime`.
    pub async fn claim_idempotency_key(
        &self,
        key: IdempotencyKeyHash,
        body: Sha256,
        lease: Duration,
        lifetime: Duration,
    ) -> StoreResult<IdempotencyState> {
        let token = Uuid::new_v4().to_string();
        let claim = IdempotencyClaim { key, token: token.clone(), lifetime };
        let inserted = self.insert_key(key, body, &token, lease).await;
        match inserted {
            Ok(()) => return Ok(IdempotencyState::Claimed(claim)),
            Err(error) if error.is_duplicate() => {}
            Err(error) => return Err(error),
        }
        transaction!(self, connection => {
            let row: Option<(Sha256, Option<SubmissionId>, bool, bool)> = keys::table
                .find(key)
                .select((
                    keys::body_hash,
                    keys::submission_id,
                    keys::claimed_until.le(now()),
                    keys::expires_at.le(now()),
                ))
                .for_update()
                .first(connection)
                .await
                .optional()?;
            let Some((known_body, completed, claim_is_over, expired)) = row else {
                // The key expired and was swept between the two statements. A repeated request will succeed.
                return Ok(IdempotencyState::InProgress);
            };
            if !expired && known_body != body {
                return Ok(IdempotencyState::BodyMismatch);
            }
            match completed {
                Some(submission) if !expired => return Ok(IdempotencyState::Completed(submission)),
                None if !claim_is_over => return Ok(IdempotencyState::InProgress),
                _ => {}
            }
            take_over(connection, &claim, body, lease).await?;
            Ok(IdempotencyState::Claimed(claim.clone()))
        })
    }

    /// Releases a rejected request's key so that a repeated request need not wait for the claim to expire.
    pub async fn release_idempotency_key(&self, claim: &IdempotencyClaim) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        diesel::delete(
            keys::table
                .find(claim.key)
                .filter(keys::claim.eq(&claim.token))
                .filter(keys::submission_id.is_null()),
        )
        .execute(&mut connection)
        .await?;
        Ok(())
    }

    pub async fn sweep_idempotency_keys(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        expired_rows::delete_expired(
            &mut connection,
            "idempotency_keys",
            "expires_at",
            Duration::ZERO,
        )
        .await
    }

    async fn insert_key(
        &self,
        key: IdempotencyKeyHash,
        body: Sha256,
        token: &str,
        lease: Duration,
    ) -> StoreResult<()> {
        // Even if the first request fails, any request with the same key within 24 hours must have the same body.
        const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
        let mut connection = self.connection().await?;
        diesel::insert_into(keys::table)
            .values((
                keys::key_hash.eq(key),
                keys::body_hash.eq(body),
                keys::claim.eq(token),
                keys::claimed_until.eq(after(lease)),
                keys::expires_at.eq(after(ABANDONED)),
            ))
            .execute(&mut connection)
            .await
            .map_err(StoreError::from)?;
        Ok(())
    }
}

async fn take_over(
    connection: &mut Connection,
    claim: &IdempotencyClaim,
    body: Sha256,
    lease: Duration,
) -> StoreResult<()> {
    diesel::update(keys::table.find(claim.key))
        .set((
            keys::body_hash.eq(body),
            keys::claim.eq(&claim.token),
            keys::claimed_until.eq(after(lease)),
            keys::submission_id.eq(None::<SubmissionId>),
            keys::expires_at.eq(after(claim.lifetime)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Completes a claim. Returns `false` if another request has taken over the claim.
pub(crate) async fn settle(
    connection: &mut Connection,
    claim: &IdempotencyClaim,
    submission: SubmissionId,
) -> StoreResult<bool> {
    let settled = diesel::update(
        keys::table
            .find(claim.key)
            .filter(keys::claim.eq(&claim.token))
            .filter(keys::submission_id.is_null()),
    )
    .set((keys::submission_id.eq(submission), keys::expires_at.eq(after(claim.lifetime))))
    .execute(connection)
    .await?;
    Ok(settled == 1)
}

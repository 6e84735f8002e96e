//! Answers already given to an Idempotency-Key. A request first claims its key; the claim is settled
//! in the transaction that stores the submission, so key and submission exist together or not at all.
//! A claim whose holder died ends by itself, and a repeat then finishes the work.

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

/// Digest of an Idempotency-Key, so that what clients send is never stored in the clear.
pub type IdempotencyKeyHash = Sha256;

/// A key that this request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyClaim {
    key: IdempotencyKeyHash,
    token: String,
    lifetime: Duration,
}

/// How a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyState {
    /// Yours: do the work, and hand the claim to [`Store::create_submission`].
    Claimed(IdempotencyClaim),
    /// Completed before, with this submission.
    Completed(SubmissionId),
    /// The same request is being worked on right now.
    InProgress,
    /// The key was used for another body.
    BodyMismatch,
}

impl Store {
    /// Claims a key for a request whose body has the digest `body`, for the time `lease`. Once
    /// answered, the key is kept for `lifetime`.
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
            let Some((known_body, answered, claim_is_over, expired)) = row else {
                // Expired and swept between the two statements: the client's repeat will do.
                return Ok(IdempotencyState::InProgress);
            };
            if !expired && known_body != body {
                return Ok(IdempotencyState::BodyMismatch);
            }
            match answered {
                Some(submission) if !expired => return Ok(IdempotencyState::Completed(submission)),
                None if !claim_is_over => return Ok(IdempotencyState::InProgress),
                _ => {}
            }
            take_over(connection, &claim, body, lease).await?;
            Ok(IdempotencyState::Claimed(claim.clone()))
        })
    }

    /// Gives a claim up, so that a repeat need not wait for its end. For a request that was refused.
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

    /// Removes keys whose time is over; returns how many. More are left when it is the most that one sweep
    /// removes.
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
        // An abandoned claim is kept as long as an answered key would at least be: a repeat within
        // that time still meets the check of its body.
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

/// Ties a claimed key to the submission that answers it; `false` when the claim was lost meanwhile.
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

//! Throttles password guessing. Each subject (an account, a network, a device, or a combination of these) has a failure
//! count, which is halved after every 15 minutes without a new failure. After a number of free failures, each further
//! failure doubles the wait before the next attempt.
//!
//! An attempt counts as a failure from its start until it succeeds, so concurrent attempts cannot bypass the limit. The
//! subjects' rows are locked while an attempt is checked, so the limit applies across all replicas.

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::expired_rows;
use crate::db::ids::Sha256;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{sessions, throttles, users};
use crate::db::utc_time::UtcTime;
use diesel::dsl::{exists, select, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Datetime, Text};
use diesel_async::RunQueryDsl;
use std::time::Duration;

const HALF_LIFE: Duration = Duration::from_secs(15 * 60);
const MAX_FAILURES: i32 = 1000;
/// Halving reduces a count of 1000 to zero within 2.5 hours, so rows older than a day have no effect.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimit {
    pub subject: Sha256,
    pub free: u32,
    pub longest: Duration,
    /// Whether an attempt counts towards this limit. If not, the limit is only checked.
    pub counts: bool,
}

impl ThrottleLimit {
    /// Returns the wait after this many failures: none below `free`, then 1, 2, 4 … seconds.
    fn pause(&self, failures: i32) -> Duration {
        let failures = u32::try_from(failures).unwrap_or(0);
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << beyond.min(31)).min(self.longest),
        }
    }
}

/// A sign-in attempt in progress. The attempt counts as a failure until [`Store::sign_in_succeeded`] is called.
#[derive(Debug, Clone)]
#[must_use = "call `sign_in_succeeded` if the attempt succeeds"]
pub struct SignInAttempt {
    at: UtcTime,
    before: Vec<ThrottleState>,
}

#[derive(Debug, Clone)]
pub enum AttemptDecision {
    Allowed(SignInAttempt),
    /// Time until the next attempt is allowed. A delayed attempt does not count as a failure.
    Delayed(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownClient {
    pub network: bool,
    pub address: bool,
}

#[derive(Debug, Clone)]
struct ThrottleState {
    subject: Sha256,
    failures: i32,
    stored_failures: i32,
    failed_at: UtcTime,
}

impl Store {
    pub async fn begin_sign_in(&self, limits: &[ThrottleLimit]) -> StoreResult<AttemptDecision> {
        // Locks the rows in a fixed order so two attempts cannot deadlock.
        let mut limits = limits.to_vec();
        limits.sort_by_key(|limit| limit.subject);
        transaction!(self, connection => {
            let mut states = Vec::with_capacity(limits.len());
            for limit in &limits {
                states.push(lock_state(connection, limit.subject).await?);
            }
            let at: UtcTime = select(sql::<Datetime>("NOW(6)")).first(connection).await?;
            let wait = limits.iter().zip(&states).map(|(limit, state)| {
                let quiet = at.since(state.failed_at);
                limit.pause(state.failures).saturating_sub(quiet)
            });
            let wait = wait.max().unwrap_or_default();
            if !wait.is_zero() {
                return Ok(AttemptDecision::Delayed(wait));
            }
            let counted = limits.iter().zip(states).filter(|(limit, _)| limit.counts);
            let counted: Vec<_> = counted.map(|(_, state)| state).collect();
            for state in &counted {
                let failures = (state.failures + 1).min(MAX_FAILURES);
                diesel::update(throttles::table.find(state.subject))
                    .set((throttles::failures.eq(failures), throttles::failed_at.eq(at)))
                    .execute(connection)
                    .await?;
            }
            Ok(AttemptDecision::Allowed(SignInAttempt { at, before: counted }))
        })
    }

    /// Stops counting the attempt as a failure, and resets the failure count of the subject `cleared`.
    pub async fn sign_in_succeeded(
        &self,
        attempt: &SignInAttempt,
        cleared: Sha256,
    ) -> StoreResult<()> {
        transaction!(self, connection => {
            for before in &attempt.before {
                let row = throttles::table.find(before.subject);
                if before.subject == cleared {
                    diesel::delete(row).execute(connection).await?;
                    continue;
                }
                // Restores the row to its state before this attempt. If another attempt has failed in the meantime,
                // subtracts only this attempt's failure.
                let untouched = row.filter(throttles::failed_at.eq(attempt.at));
                let untouched = untouched.filter(throttles::failures.eq(before.failures + 1));
                let restored = diesel::update(untouched)
                    .set((
                        // Restores the stored count because a halved count would be halved again for the same period.
                        throttles::failures.eq(before.stored_failures),
                        throttles::failed_at.eq(before.failed_at),
                    ))
                    .execute(connection)
                    .await?;
                if restored == 0 {
                    diesel::update(row.filter(throttles::failures.gt(0)))
                        .set(throttles::failures.eq(throttles::failures - 1))
                        .execute(connection)
                        .await?;
                }
            }
            Ok(())
        })
    }

    pub async fn known_client(
        &self,
        email: &str,
        network: &str,
        address: &str,
    ) -> StoreResult<KnownClient> {
        let mut connection = self.connection().await?;
        let from_network = sessions::table
            .inner_join(users::table)
            .filter(users::email.eq(email.trim().to_lowercase()))
            .filter(sessions::network.eq(network))
            .filter(sessions::created_at.gt(before(KNOWN_FOR)));
        let from_address = from_network.clone().filter(sessions::address.eq(address));
        let known = select((exists(from_network), exists(from_address)));
        let (network, address) = known.get_result(&mut connection).await?;
        Ok(KnownClient { network, address })
    }

    pub async fn sweep_throttles(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        expired_rows::delete_expired(&mut connection, "throttles", "failed_at", FORGET_AFTER).await
    }
}

/// Locks a subject's row, creating it if it does not exist.
async fn lock_state(connection: &mut Connection, subject: Sha256) -> StoreResult<ThrottleState> {
    diesel::sql_query(
        "INSERT INTO throttles (subject, failures, failed_at) VALUES (?, 0, NOW(6)) \
         ON DUPLICATE KEY UPDATE subject = throttles.subject",
    )
    .bind::<Text, _>(subject)
    .execute(connection)
    .await?;
    // The shift halves the count once for every 15 minutes without a failure.
    let halved = format!(
        "CAST(failures >> LEAST(63, GREATEST(0, TIMESTAMPDIFF(SECOND, failed_at, NOW(6))) DIV {}) \
         AS SIGNED)",
        HALF_LIFE.as_secs()
    );
    let (failures, stored_failures, failed_at): (i64, i32, UtcTime) = throttles::table
        .find(subject)
        .select((sql::<BigInt>(&halved), throttles::failures, throttles::failed_at))
        .for_update()
        .first(connection)
        .await?;
    let failures = i32::try_from(failures).unwrap_or(MAX_FAILURES);
    Ok(ThrottleState { subject, failures, stored_failures, failed_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_maximum() {
        let (subject, longest) = (Sha256::of(b"x"), Duration::from_secs(900));
        let limit = ThrottleLimit { subject, free: 5, longest, counts: true };
        let pauses = [0, 4, 5, 6, 7, 14, 15, 1000].map(|failures| limit.pause(failures).as_secs());
        assert_eq!(pauses, [0, 0, 1, 2, 4, 512, 900, 900]);
    }
}

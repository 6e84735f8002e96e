//! Slows down guessing. Each subject (an account, a network, a device, or some of them together) has failures, which halve in
//! every quarter of an hour without a new one. Beyond those that are free, each failure doubles the time
//! until the next attempt.
//!
//! An attempt counts as a failure from its beginning, and is taken back when it succeeds: so attempts at
//! the same time cannot slip through together. The rows of its subjects are locked while that is decided,
//! so all replicas count as one.

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

/// Failures halve after this much quiet.
const HALF_LIFE: Duration = Duration::from_secs(15 * 60);
/// More failures than these are not counted: they would only take longer to heal.
const MAX_FAILURES: i32 = 1000;
/// A row that was quiet for so long has healed: 1000 failures halve ten times in 2.5 hours.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// A network or address from which an account signed in within this time is known to be its owner's.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How failures of a subject slow down the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimit {
    /// What is counted: a digest of its name.
    pub subject: Sha256,
    /// So many failures cost nothing.
    pub free: u32,
    /// No pause is longer.
    pub longest: Duration,
    /// Whether an attempt is counted here; otherwise it only has to be open.
    pub counts: bool,
}

impl ThrottleLimit {
    /// The pause after the newest of `failures`: nothing up to the free ones, then 1, 2, 4 … seconds.
    fn pause(&self, failures: i32) -> Duration {
        let failures = u32::try_from(failures).unwrap_or(0);
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << beyond.min(31)).min(self.longest),
        }
    }
}

/// An attempt that may be made; counted as a failure until [`Store::sign_in_succeeded`] takes it back.
#[derive(Debug, Clone)]
#[must_use = "an attempt that succeeded is to be taken back"]
pub struct SignInAttempt {
    at: UtcTime,
    before: Vec<ThrottleState>,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone)]
pub enum AttemptDecision {
    /// It may, and counts.
    Allowed(SignInAttempt),
    /// Not before so much time has passed; it does not count.
    Delayed(Duration),
}

/// What of an origin an account knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownClient {
    /// The network.
    pub network: bool,
    /// The very address.
    pub address: bool,
}

/// How a subject stands.
#[derive(Debug, Clone)]
struct ThrottleState {
    subject: Sha256,
    /// Healed to this moment.
    failures: i32,
    /// As they stood after the newest.
    stored_failures: i32,
    failed_at: UtcTime,
}

impl Store {
    /// Asks for an attempt at all of `limits`.
    pub async fn begin_sign_in(&self, limits: &[ThrottleLimit]) -> StoreResult<AttemptDecision> {
        // Always in the same order, so that two attempts cannot wait for each other.
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

    /// Takes an attempt back, and forgets the failures of `cleared`.
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
                // As it was, unless others have failed meanwhile: then only this one is taken back.
                let untouched = row.filter(throttles::failed_at.eq(attempt.at));
                let untouched = untouched.filter(throttles::failures.eq(before.failures + 1));
                let restored = diesel::update(untouched)
                    .set((
                        // Not the healed ones: they would heal for the same time once more.
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

    /// Whether somebody signed in to the account of this e-mail address lately: from this network, and from
    /// this very address in it.
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

    /// Removes what has healed; returns how many rows.
    pub async fn sweep_throttles(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        expired_rows::delete_expired(&mut connection, "throttles", "failed_at", FORGET_AFTER).await
    }
}

/// Makes sure that there is a row, locks it, and reads it as it stands by now.
async fn lock_state(connection: &mut Connection, subject: Sha256) -> StoreResult<ThrottleState> {
    diesel::sql_query(
        "INSERT INTO throttles (subject, failures, failed_at) VALUES (?, 0, NOW(6)) \
         ON DUPLICATE KEY UPDATE subject = throttles.subject",
    )
    .bind::<Text, _>(subject)
    .execute(connection)
    .await?;
    // The shift halves once for each quiet quarter of an hour.
    let healed = format!(
        "CAST(failures >> LEAST(63, GREATEST(0, TIMESTAMPDIFF(SECOND, failed_at, NOW(6))) DIV {}) \
         AS SIGNED)",
        HALF_LIFE.as_secs()
    );
    let (failures, stored_failures, failed_at): (i64, i32, UtcTime) = throttles::table
        .find(subject)
        .select((sql::<BigInt>(&healed), throttles::failures, throttles::failed_at))
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

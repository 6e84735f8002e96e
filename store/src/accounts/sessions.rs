//! Sessions: one sign-in each. A session is alive while it was not ended, was used not too long ago, is not
//! too old, and its account is not disabled.

use crate::accounts::throttles::KNOWN_FOR;
use crate::accounts::users::User;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::{after, before, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::expired_rows;
use crate::db::ids::{SessionId, Sha256, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{sessions, users};
use crate::db::utc_time::UtcTime;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Datetime};
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// A session that was used within this time is not written down as used again.
const USED_AT_PRECISION: Duration = Duration::from_secs(60);

/// A sign-in that succeeded.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its name.
    pub id: SessionId,
    /// Who signed in.
    pub user: UserId,
    /// When the password that was right had been set (UTC).
    pub password_changed_at: Option<UtcTime>,
    /// Digest of its first refresh token.
    pub refresh: Sha256,
    /// From which network.
    pub network: String,
    /// From which address.
    pub address: String,
    /// What the client says that it is; at most 255 characters.
    pub user_agent: String,
    /// How long it lives without being used.
    pub idle: Duration,
    /// How long it lives at most.
    pub lifetime: Duration,
}

/// A session that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// From which address it was begun.
    pub address: String,
    /// What the client said that it is.
    pub user_agent: String,
    /// When it was begun (UTC).
    pub created_at: UtcTime,
    /// When it was used last (UTC), to the minute.
    pub used_at: UtcTime,
    /// When it ends unless it is used (UTC).
    pub idle_after: UtcTime,
    /// When it ends in any case (UTC).
    pub expires_at: UtcTime,
}

/// Digests of a refresh token that was presented, and of the one that follows it.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Of what was presented.
    pub given: Sha256,
    /// Of its successor.
    pub next: Sha256,
    /// How long after a rotation its old token may come again, because the answer was lost.
    pub grace: Duration,
    /// How long the session then lives without being used.
    pub idle: Duration,
}

/// What came of presenting a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The successor is good now.
    Rotated,
    /// It had been rotated a moment ago; the successor is good still.
    Repeated,
    /// It was used long before: two have it, and one of them should not. The session has ended.
    Reused,
    /// The session is not alive.
    Ended,
}

#[diesel::dsl::auto_type]
fn is_active() -> _ {
    let idle_now: SqlLiteral<Datetime> = now();
    let end_now: SqlLiteral<Datetime> = now();
    sessions::ended_at
        .is_null()
        .and(sessions::idle_after.gt(idle_now))
        .and(sessions::expires_at.gt(end_now))
}

#[diesel::dsl::auto_type]
fn ended<'a>(reason: &'a str) -> _ {
    let now: SqlLiteral<Datetime> = now();
    (sessions::ended_at.eq(now.nullable()), sessions::end_reason.eq(reason))
}

/// Ends the sessions of an account, but for `keep`; returns how many.
pub(crate) async fn end_all(
    connection: &mut Connection,
    user: UserId,
    except: Option<SessionId>,
    reason: &str,
) -> StoreResult<usize> {
    let open = sessions::table.filter(sessions::user_id.eq(user));
    let open = open.filter(sessions::ended_at.is_null());
    let end = ended(reason);
    let ended = match except {
        Some(except) => {
            let others = open.filter(sessions::id.ne(except));
            diesel::update(others).set(end).execute(connection).await?
        }
        None => diesel::update(open).set(end).execute(connection).await?,
    };
    Ok(ended)
}

/// Whether a session of an account is alive; if so it stays locked, and cannot end meanwhile.
pub(crate) async fn lock_active(
    connection: &mut Connection,
    user: UserId,
    session: SessionId,
) -> StoreResult<bool> {
    let found: Option<SessionId> = sessions::table
        .find(session)
        .filter(sessions::user_id.eq(user))
        .filter(is_active())
        .select(sessions::id)
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(found.is_some())
}

async fn insert(connection: &mut Connection, new: &NewSession) -> StoreResult<()> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(new.id),
            sessions::user_id.eq(new.user),
            sessions::refresh.eq(new.refresh),
            sessions::refreshed_at.eq(now()),
            sessions::network.eq(&new.network),
            sessions::address.eq(&new.address),
            sessions::user_agent.eq(&new.user_agent),
            sessions::created_at.eq(now()),
            sessions::used_at.eq(now()),
            sessions::idle_after.eq(after(new.idle)),
            sessions::expires_at.eq(after(new.lifetime)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Begins a session. Returns `false`, with nothing begun, when the account was disabled or got another
    /// password since its password was looked at: whoever ended its sessions by that means this one, too.
    pub async fn create_session(
        &self,
        new: &NewSession,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let account = users::table
                .find(new.user)
                .filter(users::disabled_at.is_null())
                .select(users::password_changed_at)
                .for_update();
            let set: Option<Option<UtcTime>> = account.first(connection).await.optional()?;
            if set != Some(new.password_changed_at) {
                return Ok(false);
            }
            insert(connection, new).await?;
            log::append(connection, entry).await?;
            Ok(true)
        })
    }

    /// Ends a session; `reason` is a word for it, such as `signed_out`. Does nothing when it has ended.
    pub async fn end_session(
        &self,
        session: SessionId,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> StoreResult<()> {
        transaction!(self, connection => {
            diesel::update(sessions::table.find(session).filter(sessions::ended_at.is_null()))
                .set(ended(reason))
                .execute(connection)
                .await?;
            log::append(connection, entry).await
        })
    }

    /// The sessions of an account that are alive, the newest first.
    pub async fn user_sessions(&self, user: UserId) -> StoreResult<Vec<Session>> {
        let mut connection = self.connection().await?;
        let found = sessions::table
            .inner_join(users::table)
            .filter(sessions::user_id.eq(user))
            .filter(is_active())
            .filter(users::disabled_at.is_null())
            .order((sessions::created_at.desc(), sessions::id.desc()))
            .select(Session::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }

    /// Ends a session of an account. Returns `false`, with nothing done, when it has none of this name
    /// that goes on.
    pub async fn end_user_session(
        &self,
        user: UserId,
        session: SessionId,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let open = sessions::table.find(session).filter(sessions::user_id.eq(user));
            let ended = diesel::update(open.filter(sessions::ended_at.is_null()))
                .set(ended(reason))
                .execute(connection)
                .await?;
            if ended == 1 {
                log::append(connection, entry).await?;
            }
            Ok(ended == 1)
        })
    }

    /// Ends all sessions of an account, but for `keep`; returns how many.
    pub async fn end_user_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> StoreResult<usize> {
        transaction!(self, connection => {
            let ended = end_all(connection, user, except, reason).await?;
            log::append(connection, &entry.clone().with("sessions_ended", ended)).await?;
            Ok(ended)
        })
    }

    /// Takes a refresh token of a session. The caller has made sure that it is one of ours: one that is
    /// neither the newest, nor the one before within the grace, ends the session. `done` is written for
    /// a rotation, `reused` for such an end.
    pub async fn refresh_session(
        &self,
        session: SessionId,
        rotation: &Rotation,
        done: &NewAuditEntry,
        reused: &NewAuditEntry,
    ) -> StoreResult<RefreshOutcome> {
        transaction!(self, connection => {
            let grace = rotation.grace.as_micros();
            let is_recent = sql::<Bool>(&format!(
                "refreshed_at > DATE_SUB(NOW(6), INTERVAL {grace} MICROSECOND)"
            ));
            let found: Option<(Sha256, Option<Sha256>, bool)> = sessions::table
                .find(session)
                .filter(is_active())
                .select((sessions::refresh, sessions::previous_refresh, is_recent))
                .for_update()
                .first(connection)
                .await
                .optional()?;
            let Some((newest, previous, is_recent)) = found else { return Ok(RefreshOutcome::Ended) };
            let row = sessions::table.find(session);
            if newest == rotation.given {
                diesel::update(row)
                    .set((
                        sessions::refresh.eq(rotation.next),
                        sessions::previous_refresh.eq(rotation.given),
                        sessions::refreshed_at.eq(now()),
                        sessions::used_at.eq(now()),
                        sessions::idle_after.eq(after(rotation.idle)),
                    ))
                    .execute(connection)
                    .await?;
                log::append(connection, done).await?;
                return Ok(RefreshOutcome::Rotated);
            }
            if is_recent && previous == Some(rotation.given) && newest == rotation.next {
                return Ok(RefreshOutcome::Repeated);
            }
            diesel::update(row)
                .set(ended("refresh_reused"))
                .execute(connection)
                .await?;
            log::append(connection, reused).await?;
            Ok(RefreshOutcome::Reused)
        })
    }

    /// Whose session this is, while it is alive. Asking is using it: it then lives for `idle` more, up to
    /// its absolute end.
    pub async fn authenticate_session(
        &self,
        session: SessionId,
        idle: Duration,
    ) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found = find_active(&mut connection, session).await?;
        if found.is_some() {
            diesel::update(
                sessions::table
                    .find(session)
                    .filter(sessions::used_at.lt(before(USED_AT_PRECISION.min(idle / 4)))),
            )
            .set((sessions::used_at.eq(now()), sessions::idle_after.eq(after(idle))))
            .execute(&mut connection)
            .await?;
        }
        Ok(found)
    }

    /// Whose session this is, while it is alive; without using it. For streams that stay open.
    pub async fn session_user(&self, session: SessionId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        find_active(&mut connection, session).await
    }
}

impl Store {
    /// Removes sessions that could not be alive any more for so long that nobody asks for them: lists show
    /// those that are alive, the audit has its own words for each, and where an account signed in from is
    /// asked for 30 days after that. Returns how many; more are left when it is the most that one sweep
    /// removes.
    pub async fn sweep_sessions(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
        // By the absolute end, which every session has, and which comes after its beginning.
        expired_rows::delete_expired(&mut connection, "sessions", "expires_at", KNOWN_FOR).await
    }
}

async fn find_active(connection: &mut Connection, session: SessionId) -> StoreResult<Option<User>> {
    let found = sessions::table
        .inner_join(users::table)
        .filter(sessions::id.eq(session))
        .filter(is_active())
        .filter(users::disabled_at.is_null())
        .select(User::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

//! Sessions. A session is active until it is ended, has been idle for too long, reaches its maximum lifetime, or its
//! account is disabled.

use crate::accounts::USED_AT_PRECISION;
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
use strum::IntoStaticStr;

#[derive(Debug, Clone)]
pub struct NewSession {
    pub id: SessionId,
    pub user: UserId,
    /// When the password that the user signed in with was set.
    pub password_changed_at: Option<UtcTime>,
    pub refresh: Sha256,
    pub network: String,
    pub address: String,
    /// At most 255 characters.
    pub user_agent: String,
    pub idle: Duration,
    pub lifetime: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Session {
    pub id: SessionId,
    pub user_id: UserId,
    pub address: String,
    pub user_agent: String,
    pub created_at: UtcTime,
    /// To the minute.
    pub used_at: UtcTime,
    pub idle_after: UtcTime,
    pub expires_at: UtcTime,
}

/// Why a session ended. Stored in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EndReason {
    SignedOut,
    EndedByUser,
    EndedByAdmin,
    RefreshReused,
    UserDisabled,
    PasswordChanged,
    RoleChanged,
    /// The database was restored from a backup.
    Restored,
}

impl EndReason {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    pub given: Sha256,
    pub next: Sha256,
    /// How long the old token is still accepted after a rotation, because the response may have been lost.
    pub grace: Duration,
    pub idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    Rotated,
    /// The token was rotated within the grace period. Its successor is still valid.
    Repeated,
    /// The token was rotated earlier, so somebody else may have a copy. This call ended the session.
    Reused,
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

pub(crate) async fn end_all(
    connection: &mut Connection,
    user: UserId,
    except: Option<SessionId>,
    reason: EndReason,
) -> StoreResult<usize> {
    let open = sessions::table.filter(sessions::user_id.eq(user));
    let open = open.filter(sessions::ended_at.is_null());
    let end = ended(reason.as_str());
    let ended = match except {
        Some(except) => {
            let others = open.filter(sessions::id.ne(except));
            diesel::update(others).set(end).execute(connection).await?
        }
        None => diesel::update(open).set(end).execute(connection).await?,
    };
    Ok(ended)
}

/// Whether the session is active. If so, its row stays locked, and the session cannot end before the transaction does.
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
    /// Returns `false`, without a change, if the account was disabled or its password was changed since the password
    /// was verified. Both end all sessions of an account, so they must also prevent a new one.
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

    /// Ends a session, unless it has already ended. The audit entry is written in either case.
    pub async fn end_session(
        &self,
        session: SessionId,
        reason: EndReason,
        entry: &NewAuditEntry,
    ) -> StoreResult<()> {
        transaction!(self, connection => {
            diesel::update(sessions::table.find(session).filter(sessions::ended_at.is_null()))
                .set(ended(reason.as_str()))
                .execute(connection)
                .await?;
            log::append(connection, entry).await
        })
    }

    /// The active sessions of an account, newest first.
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

    /// Returns `false`, without a change, if the account has no such open session.
    pub async fn end_user_session(
        &self,
        user: UserId,
        session: SessionId,
        reason: EndReason,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let open = sessions::table.find(session).filter(sessions::user_id.eq(user));
            let ended = diesel::update(open.filter(sessions::ended_at.is_null()))
                .set(ended(reason.as_str()))
                .execute(connection)
                .await?;
            if ended == 1 {
                log::append(connection, entry).await?;
            }
            Ok(ended == 1)
        })
    }

    /// Returns the number of ended sessions.
    pub async fn end_user_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        entry: &NewAuditEntry,
    ) -> StoreResult<usize> {
        transaction!(self, connection => {
            let ended = end_all(connection, user, except, reason).await?;
            log::append(connection, &entry.clone().with("sessions_ended", ended)).await?;
            Ok(ended)
        })
    }

    /// Rotates a refresh token. The caller must have verified that we issued it. A token that is neither the newest
    /// one, nor the one before it within the grace period, ends the session. `done` is the audit entry of a rotation,
    /// `reused` that of a session ended this way.
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
                .set(ended(EndReason::RefreshReused.as_str()))
                .execute(connection)
                .await?;
            log::append(connection, reused).await?;
            Ok(RefreshOutcome::Reused)
        })
    }

    /// The user of an active session. Extends the session by `idle`, up to its absolute end.
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

    /// The user of an active session. Does not extend the session, so that it can be used for streams that stay open.
    pub async fn session_user(&self, session: SessionId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        find_active(&mut connection, session).await
    }
}

impl Store {
    /// Deletes a batch of sessions that expired more than 30 days ago, and returns their number.
    pub async fn sweep_sessions(&self) -> StoreResult<usize> {
        let mut connection = self.connection().await?;
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

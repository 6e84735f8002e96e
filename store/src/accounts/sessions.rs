//! Sessions of signed-in users. A session stays active until it is ended, has been idle for too long or reaches its
//! maximum lifetime, or until its account is disabled.

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
    /// Time at which the password used to sign in was set.
    pub password_changed_at: Option<UtcTime>,
    pub refresh: Sha256,
    pub network: String,
    pub address: String,
    /// Value of the `User-Agent` header, at most 255 characters.
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
    /// Time of the last use, accurate to one minute.
    pub used_at: UtcTime,
    pub idle_after: UtcTime,
    pub expires_at: UtcTime,
}

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
    /// How long the old token is still accepted, in case the response with the new token is lost.
    pub grace: Duration,
    pub idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    Rotated,
    /// The token has already been rotated, but the grace period has not ended and its successor is still valid.
    Repeated,
    /// Somebody else may have a copy of the token, so this call ended the session.
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

/// Locks an active session's row so the session cannot end before the transaction does.
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
    /// Returns `false` and changes nothing if the account was disabled or its password was changed after the password
    /// was verified. Both changes end all sessions, so they must also prevent new ones.
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

    /// Writes the audit entry even if the session has already ended.
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

    /// Returns `false` and changes nothing if the account has no open session with this id.
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

    /// Rotates a refresh token. The caller must have verified that Diagflow issued the token. Accepts the newest token
    /// and, within the grace period, the one before it. Any other token ends the session. `done` is the audit entry for
    /// a rotation, and `reused` is the audit entry for ending a session because a token was reused.
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

    /// Returns an active session's user and extends the session by `idle`, but not beyond its maximum lifetime.
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

    /// Does not extend the session because open event streams check their session repeatedly.
    pub async fn session_user(&self, session: SessionId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        find_active(&mut connection, session).await
    }
}

impl Store {
    /// Deletes a batch of sessions that expired more than 30 days ago, and returns the number deleted.
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

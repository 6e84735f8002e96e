//! Sessions: one sign-in each. A session is alive while it was not ended, was used not too long ago, is not
//! too old, and its account is not disabled.

use crate::audit::{self, AuditEntry};
use crate::clock::{after, before, now};
use crate::error::StoreResult;
use crate::ids::{SessionId, Sha256, UserId};
use crate::pool::{Store, transaction};
use crate::schema::{sessions, users};
use crate::users::User;
use diesel::prelude::*;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use std::time::Duration;

/// A session that was used within this time is not written down as used again.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// A sign-in that succeeded.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its name.
    pub id: SessionId,
    /// Who signed in.
    pub user: UserId,
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

async fn insert(connection: &mut AsyncMysqlConnection, new: &NewSession) -> StoreResult<()> {
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
    /// Begins a session.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn begin_session(&self, new: &NewSession, entry: &AuditEntry) -> StoreResult<()> {
        transaction!(self, connection => {
            insert(connection, new).await?;
            audit::append(connection, entry).await
        })
    }

    /// Ends a session; `reason` is a word for it, such as `signed_out`. Does nothing when it has ended.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn end_session(
        &self,
        session: SessionId,
        reason: &str,
        entry: &AuditEntry,
    ) -> StoreResult<()> {
        transaction!(self, connection => {
            diesel::update(sessions::table.find(session).filter(sessions::ended_at.is_null()))
                .set((sessions::ended_at.eq(now().nullable()), sessions::end_reason.eq(reason)))
                .execute(connection)
                .await?;
            audit::append(connection, entry).await
        })
    }

    /// Whose session this is, while it is alive. Asking is using it: it then lives for `idle` more, up to
    /// its absolute end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_session(
        &self,
        session: SessionId,
        idle: Duration,
    ) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found = alive(&mut connection, session).await?;
        if found.is_some() {
            diesel::update(
                sessions::table
                    .find(session)
                    .filter(sessions::used_at.lt(before(USE_NOTED_EVERY.min(idle / 4)))),
            )
            .set((sessions::used_at.eq(now()), sessions::idle_after.eq(after(idle))))
            .execute(&mut connection)
            .await?;
        }
        Ok(found)
    }

    /// Whose session this is, while it is alive; without using it. For streams that stay open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session_user(&self, session: SessionId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        alive(&mut connection, session).await
    }
}

async fn alive(
    connection: &mut AsyncMysqlConnection,
    session: SessionId,
) -> StoreResult<Option<User>> {
    let found = sessions::table
        .inner_join(users::table)
        .filter(sessions::id.eq(session))
        .filter(sessions::ended_at.is_null())
        .filter(sessions::idle_after.gt(now()))
        .filter(sessions::expires_at.gt(now()))
        .filter(users::disabled_at.is_null())
        .select(User::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

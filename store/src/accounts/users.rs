//! Creates accounts and looks up accounts for sign-in.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{SessionId, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{sessions, users};
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use diesel::deserialize::FromSqlRow;
use diesel::dsl::sql;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::{Datetime, Nullable, Text};
use diesel_async::RunQueryDsl;
use strum::{Display, EnumString, VariantArray};

/// `api/src/auth/permissions.rs` defines the permissions of each role.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    AsExpression,
    FromSqlRow,
    Display,
    EnumString,
    VariantArray,
    strum::VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    Admin,
    /// Manages submissions without access to images, comments or results.
    Operator,
    /// Reads submissions, including images, comments and results.
    Clinician,
    Institution,
    /// Has the same permissions as an institution, but is a single person.
    Patient,
    /// A program that signs in with API keys.
    Service,
}
stored_as_text!(Role);

impl Role {
    pub const ALL: &[Role] = Self::VARIANTS;
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: UserId,
    pub email: EmailAddress,
    pub name: String,
    pub role: Role,
    /// `None` for a service account.
    pub password_changed_at: Option<UtcTime>,
    pub disabled_at: Option<UtcTime>,
    pub created_at: UtcTime,
    pub updated_at: UtcTime,
}

impl User {
    pub const MAX_NAME_CHARS: usize = 200;
}

#[derive(Debug, Clone)]
pub struct NewUser {
    pub id: UserId,
    pub email: EmailAddress,
    /// At most [`User::MAX_NAME_CHARS`] characters.
    pub name: String,
    pub role: Role,
    pub password_hash: Option<String>,
}

impl Store {
    /// Creates an account. Returns `false` and changes nothing if another account has the same e-mail address.
    pub async fn create_user(&self, new: &NewUser, entry: &NewAuditEntry) -> StoreResult<bool> {
        let created = transaction!(self, connection => {
            diesel::insert_into(users::table)
                .values((
                    users::id.eq(new.id),
                    users::email.eq(new.email.as_str().to_lowercase()),
                    users::name.eq(&new.name),
                    users::role.eq(new.role),
                    users::password_hash.eq(&new.password_hash),
                    users::password_changed_at.eq(sql::<Nullable<Datetime>>(
                        if new.password_hash.is_some() { "NOW(6)" } else { "NULL" },
                    )),
                    users::created_at.eq(now()),
                    users::updated_at.eq(now()),
                ))
                .execute(connection)
                .await?;
            log::append(connection, entry).await
        });
        match created {
            Ok(()) => Ok(true),
            Err(error) if error.is_duplicate() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub async fn user_with_password(
        &self,
        email: &str,
    ) -> StoreResult<Option<(User, Option<String>)>> {
        let mut connection = self.connection().await?;
        let found = users::table
            .filter(users::email.eq(email.trim().to_lowercase()))
            .filter(users::disabled_at.is_null())
            .select((User::as_select(), users::password_hash))
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }

    /// Returns a session's account even if the session is no longer active.
    pub async fn session_owner(&self, session: SessionId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found = sessions::table
            .inner_join(users::table)
            .filter(sessions::id.eq(session))
            .select(User::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }
}

//! People and programs with an account.

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

/// What an account is for. What it may do stands in `api/src/auth/permissions.rs`.
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
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Runs the service, and its accounts.
    Admin,
    /// Keeps submissions going; does not see images, comments and results.
    Operator,
    /// Reads submissions with all that is in them.
    Clinician,
    /// Sends submissions of its own, and reads those.
    Institution,
    /// The same for one person.
    Patient,
    /// A program, by API keys.
    Service,
}
stored_as_text!(Role);

impl Role {
    /// Every role.
    pub const ALL: &[Role] = Self::VARIANTS;
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    /// Its name in our records.
    pub id: UserId,
    /// What somebody signs in with; in lower case.
    pub email: EmailAddress,
    /// What to call them.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// When its password was set (UTC); never for a service.
    pub password_changed_at: Option<UtcTime>,
    /// Since when it is disabled (UTC).
    pub disabled_at: Option<UtcTime>,
    /// When it was made (UTC).
    pub created_at: UtcTime,
    /// When it was changed last (UTC).
    pub updated_at: UtcTime,
}

/// An account that is to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its name in our records.
    pub id: UserId,
    /// What somebody signs in with; kept in lower case.
    pub email: EmailAddress,
    /// What to call them; at most 200 characters.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What is kept of the password; none for a service.
    pub password_hash: Option<String>,
}

impl Store {
    /// Makes an account. Returns `false`, with nothing made, when the address has one already.
    pub async fn create_user(&self, new: &NewUser, entry: &NewAuditEntry) -> StoreResult<bool> {
        let made = transaction!(self, connection => {
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
        match made {
            Ok(()) => Ok(true),
            Err(error) if error.is_duplicate() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The account of an address and what is kept of its password, unless it is disabled.
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

    /// Whose session this is, or was.
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

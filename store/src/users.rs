//! People and programs with an account.

use crate::ids::{UserId, named};
use crate::schema::users;
use crate::submissions::EmailAddress;
use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;

/// What an account is for. What it may do stands in `api/src/auth/permissions.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
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

named!(Role {
    Admin = "admin",
    Operator = "operator",
    Clinician = "clinician",
    Institution = "institution",
    Patient = "patient",
    Service = "service",
});

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Admin,
        Role::Operator,
        Role::Clinician,
        Role::Institution,
        Role::Patient,
        Role::Service,
    ];
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
    pub password_changed_at: Option<NaiveDateTime>,
    /// Since when it is disabled (UTC).
    pub disabled_at: Option<NaiveDateTime>,
    /// When it was made (UTC).
    pub created_at: NaiveDateTime,
    /// When it was changed last (UTC).
    pub updated_at: NaiveDateTime,
}

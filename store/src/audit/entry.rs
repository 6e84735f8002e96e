//! The words of the audit, and a line of it as it is stored.

use crate::db::ids::UserId;
use crate::db::schema::audit;
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::sql_types::{Datetime, Text};
use strum::{Display, EnumString};

/// The result of what was done as it was asked.
pub const SUCCESS: &str = "success";
/// The result of what goes on after the line was written; another line of the same request has its end.
pub const STARTED: &str = "started";
/// The result of what had begun, and came to no good end.
pub const INTERRUPTED: &str = "interrupted";
/// The result where it stood so already.
pub(crate) const UNCHANGED: &str = "unchanged";
/// The result where it goes on already.
pub(crate) const IN_PROGRESS: &str = "in_progress";
/// What kind of caller it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum ActorKind {
    /// Nobody that we know.
    Anonymous,
    /// Somebody who signed in.
    User,
    /// A program with an API key.
    Service,
    /// Somebody at the command line of a machine of ours.
    Operator,
}
stored_as_text!(ActorKind);

/// What was done, or tried.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow, Display, EnumString,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    SignIn,
    SignOut,
    SessionRefresh,
    SessionEnd,
    SessionsView,
    PasswordChange,
    UserCreate,
    UserUpdate,
    UserDisable,
    UsersView,
    KeyCreate,
    KeyRevoke,
    KeysView,
    SubmissionCreate,
    SubmissionsView,
    SubmissionView,
    HistoryView,
    FileView,
    SubmissionCancel,
    SubmissionRetry,
    SubmissionsRetry,
    SubmissionDelete,
    SubmissionRestore,
    MailResend,
    SubmissionsExport,
    SubmissionsFollow,
    AuditView,
    /// The databases were brought back to an earlier moment.
    BackupRestore,
    /// A request that was refused before it came to anything else.
    Access,
}
stored_as_text!(Action);

/// What it was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum ObjectKind {
    /// Nothing in particular, or many at once; the details say more.
    Service,
    Submission,
    File,
    Delivery,
    User,
    Session,
    ApiKey,
}
stored_as_text!(ObjectKind);

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What kind of caller.
    pub kind: ActorKind,
    /// The account, where there is one.
    pub id: Option<UserId>,
    /// The account's e-mail address, or what was given in its place; at most 254 characters are kept.
    pub name: String,
}

/// A written line, as it stands there: one that was tampered with must be readable too, or it could be neither
/// found nor named. That is why its words are texts.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit)]
pub struct AuditEntry {
    /// Its place, from 1, without gaps.
    pub number: i64,
    /// When (UTC, the database's clock); 1970 where what stands there is no time.
    #[diesel(deserialize_as = LenientDatetime)]
    pub at: UtcTime,
    /// Who: what [kind of caller](ActorKind).
    pub actor_kind: String,
    /// Who: the account, where there is one.
    pub actor_id: Option<String>,
    /// Who: the account's e-mail address, or what was given in its place.
    pub actor_name: String,
    /// [What](Action).
    pub action: String,
    /// On [what kind of thing](ObjectKind).
    pub object_kind: String,
    /// On which; empty where there is none.
    pub object_id: String,
    /// `success`, or the stable code of the refusal.
    pub result: String,
    /// From where.
    pub address: String,
    /// The request, as in the log and in its answer.
    pub request_id: String,
    /// More, as a JSON object.
    pub details: String,
    /// The seal of the line before.
    pub previous: String,
    /// The seal of this one.
    pub hash: String,
}

/// Reads a time, also from a column that holds none, such as the day 0 of the month 0.
#[derive(FromSqlRow)]
pub struct LenientDatetime(UtcTime);

impl FromSql<Datetime, Mysql> for LenientDatetime {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(FromSql::<Datetime, Mysql>::from_sql(value).unwrap_or_default()))
    }
}

impl From<LenientDatetime> for UtcTime {
    fn from(moment: LenientDatetime) -> Self {
        moment.0
    }
}

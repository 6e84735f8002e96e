//! Audit entries as they are stored, and the values of their fields.

use crate::db::ids::UserId;
use crate::db::schema::audit;
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::sql_types::{Datetime, Text};
use strum::{Display, EnumString, VariantNames};

pub const SUCCESS: &str = "success";
/// A later entry of the same request records how the action ended.
pub const STARTED: &str = "started";
/// The action was started but not finished.
pub const INTERRUPTED: &str = "interrupted";
/// The object already had the requested state.
pub(crate) const UNCHANGED: &str = "unchanged";
/// The same action was already in progress.
pub(crate) const IN_PROGRESS: &str = "in_progress";
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum ActorKind {
    Anonymous,
    User,
    Service,
    /// Somebody who uses the command line on one of our machines.
    Operator,
}
stored_as_text!(ActorKind);

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
    VariantNames,
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
    SubmissionUpdate,
    MailResend,
    SubmissionsExport,
    SubmissionsFollow,
    AuditView,
    /// The databases were restored from a backup.
    BackupRestore,
    /// A request that was rejected before it did anything.
    Access,
}
stored_as_text!(Action);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum ObjectKind {
    /// No single object. The details describe what was affected.
    Service,
    Submission,
    File,
    Delivery,
    User,
    Session,
    ApiKey,
}
stored_as_text!(ObjectKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// `None` if the actor has no account.
    pub id: Option<UserId>,
    /// The account's e-mail address, or the one that was entered. Truncated to 254 characters.
    pub name: String,
}

/// Enumerations are plain text here, because an entry that was tampered with must still be readable; otherwise it could
/// not be reported.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit)]
pub struct AuditEntry {
    /// Counts from 1 without gaps.
    pub number: i64,
    /// 1970 if the column holds no valid time.
    #[diesel(deserialize_as = LenientDatetime)]
    pub at: UtcTime,
    /// An [`ActorKind`].
    pub actor_kind: String,
    pub actor_id: Option<String>,
    /// See [`Actor::name`].
    pub actor_name: String,
    /// An [`Action`].
    pub action: String,
    /// An [`ObjectKind`].
    pub object_kind: String,
    /// Empty if there is no single object.
    pub object_id: String,
    /// `success`, `unchanged`, `in_progress`, `started`, `interrupted`, or the code of a refusal or failure.
    pub result: String,
    /// IP address of the client.
    pub address: String,
    pub request_id: String,
    /// A JSON object.
    pub details: String,
    /// The seal of the previous entry.
    pub previous: String,
    /// The seal of this entry.
    pub hash: String,
}

/// Reads any column value. A value that is not a valid time, such as day 0, is read as 1970.
#[derive(FromSqlRow)]
pub struct LenientDatetime(UtcTime);

impl FromSql<Datetime, Mysql> for LenientDatetime {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(FromSql::<Datetime, Mysql>::from_sql(value).unwrap_or_default()))
    }
}

impl From<LenientDatetime> for UtcTime {
    fn from(time: LenientDatetime) -> Self {
        time.0
    }
}

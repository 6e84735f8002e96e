//! Audit entries as stored in the database, and the values of their fields.

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
/// The action has started. A later entry for the same request records the outcome.
pub const STARTED: &str = "started";
/// The action started but did not finish.
pub const INTERRUPTED: &str = "interrupted";
/// The object was already in the requested state.
pub(crate) const UNCHANGED: &str = "unchanged";
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
    /// A person running `diagflow` commands on a server.
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
    /// The personal data that pages for staff mask was shown.
    SubmissionReveal,
    HistoryView,
    FileView,
    SubmissionCancel,
    SubmissionsCancel,
    SubmissionRetry,
    SubmissionsRetry,
    SubmissionDelete,
    SubmissionRestore,
    SubmissionErase,
    SubmissionUpdate,
    SubmissionTokenRevoke,
    SubmissionLinkOpen,
    SubmissionLinkRequest,
    MailResend,
    MailsResend,
    SubmissionsExport,
    SubmissionsFollow,
    ServicePause,
    ServiceResume,
    AuditView,
    BackupRestore,
    TemporalMove,
    /// A request that was rejected before it had any effect.
    Access,
}
stored_as_text!(Action);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum ObjectKind {
    /// The action affects no single object. The entry's details describe what was affected.
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
    pub id: Option<UserId>,
    /// The account's e-mail address or, for an anonymous client, the address the client entered. Truncated to 254
    /// characters.
    pub name: String,
}

/// The fields `actor_kind`, `action` and `object_kind` are plain text rather than enums so that a tampered entry can
/// still be read and reported.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit)]
pub struct AuditEntry {
    /// Number of the entry, starting at 1 without gaps.
    pub number: i64,
    /// Time of the action, or 1 January 1970 if the column does not contain a valid time.
    #[diesel(deserialize_as = LenientDatetime)]
    pub at: UtcTime,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub actor_name: String,
    pub action: String,
    pub object_kind: String,
    /// Empty if the action affects no single object.
    pub object_id: String,
    /// Outcome of the action: `success`, `unchanged`, `in_progress`, `started`, `interrupted`, or an error code.
    pub result: String,
    pub address: String,
    pub request_id: String,
    /// Details of the action, as a JSON object.
    pub details: String,
    /// Id of the key that sealed the entry.
    pub key_id: String,
    /// The seal of the previous entry.
    pub previous: String,
    /// The seal of this entry.
    pub hash: String,
}

/// Reads any value from a time column. An invalid time, such as one with day 0, is read as 1 January 1970.
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

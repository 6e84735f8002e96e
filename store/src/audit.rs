//! The audit: who did what, on what, when, from where, with which result. Append-only; each line is
//! sealed together with the one before it, so that a line that was changed, removed or put in shows.
//!
//! A change and its line are one transaction; a view is written down before it is shown.

use crate::audit_seal::AuditKey;
use crate::connection::Connection;
use crate::error::StoreResult;
use crate::ids::{UserId, named};
use crate::pool::{Store, transaction};
use crate::schema::{audit, audit_head};
use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::dsl::sql;
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Datetime, Text};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value, json};

/// The one row of `audit_head`.
pub(crate) const HEAD: i32 = 1;
/// The result of what was done as it was asked.
pub const DONE: &str = "done";
/// The result of what goes on after the line was written; another line of the same request has its end.
pub const BEGUN: &str = "begun";
/// The result of what had begun, and came to no good end.
pub const BROKEN_OFF: &str = "broken_off";
/// The result where it stood so already.
pub(crate) const UNCHANGED: &str = "unchanged";
/// The result where it goes on already.
pub(crate) const UNDER_WAY: &str = "under_way";
/// Most characters of a text in the details: those of the longest reason.
const LONGEST_TEXT: usize = 500;
/// Most members of a list in the details.
const MOST_MEMBERS: usize = 50;
/// Most bytes of all details: what the column holds.
const MOST_DETAILS: usize = 65_535;

/// What kind of caller it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
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

named!(ActorKind {
    Anonymous = "anonymous",
    User = "user",
    Service = "service",
    Operator = "operator",
});

/// What was done, or tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[expect(missing_docs, reason = "the names say it")]
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
    /// A request that was refused before it came to anything else.
    Access,
}

named!(Action {
    SignIn = "sign_in",
    SignOut = "sign_out",
    SessionRefresh = "session_refresh",
    SessionEnd = "session_end",
    SessionsView = "sessions_view",
    PasswordChange = "password_change",
    UserCreate = "user_create",
    UserUpdate = "user_update",
    UserDisable = "user_disable",
    UsersView = "users_view",
    KeyCreate = "key_create",
    KeyRevoke = "key_revoke",
    KeysView = "keys_view",
    SubmissionCreate = "submission_create",
    SubmissionsView = "submissions_view",
    SubmissionView = "submission_view",
    HistoryView = "history_view",
    FileView = "file_view",
    SubmissionCancel = "submission_cancel",
    SubmissionRetry = "submission_retry",
    SubmissionsRetry = "submissions_retry",
    SubmissionDelete = "submission_delete",
    SubmissionRestore = "submission_restore",
    MailResend = "mail_resend",
    SubmissionsExport = "submissions_export",
    SubmissionsFollow = "submissions_follow",
    AuditView = "audit_view",
    Access = "access",
});

/// What it was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[expect(missing_docs, reason = "the names say it")]
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

named!(ObjectKind {
    Service = "service",
    Submission = "submission",
    File = "file",
    Delivery = "delivery",
    User = "user",
    Session = "session",
    ApiKey = "api_key",
});

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

/// A line that is to be written.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// What seals it.
    pub key: AuditKey,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// On what kind of thing.
    pub object_kind: ObjectKind,
    /// On which; empty where there is none.
    pub object_id: String,
    /// [`DONE`], a word for why nothing was changed, or the stable code of the refusal or failure.
    pub result: String,
    /// From where.
    pub address: String,
    /// The request.
    pub request_id: String,
    /// More, such as the reason that was given or the filter that was asked for.
    pub details: Map<String, Value>,
}

impl AuditEntry {
    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same about something that was refused, with the stable code of that.
    #[must_use]
    pub fn refused(self, code: &str) -> Self {
        self.resulting_in(code)
    }

    /// The same with another result than [`DONE`].
    #[must_use]
    pub fn resulting_in(mut self, result: &str) -> Self {
        result.clone_into(&mut self.result);
        self
    }
}

/// A written line, as it stands there: one that was tampered with must be readable too, or it could be neither
/// found nor named. That is why its words are texts.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit)]
pub struct AuditLine {
    /// Its place, from 1, without gaps.
    pub number: i64,
    /// When (UTC, the database's clock); 1970 where what stands there is no time.
    #[diesel(deserialize_as = Moment)]
    pub at: NaiveDateTime,
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
    /// `done`, or the stable code of the refusal.
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
pub struct Moment(NaiveDateTime);

impl FromSql<Datetime, Mysql> for Moment {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(FromSql::<Datetime, Mysql>::from_sql(value).unwrap_or_default()))
    }
}

impl From<Moment> for NaiveDateTime {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

/// Appends a line in the caller's transaction. Holds the chain's lock until that ends, so it comes
/// last there.
pub(crate) async fn append(connection: &mut Connection, entry: &AuditEntry) -> StoreResult<()> {
    let (number, previous, at): (i64, String, NaiveDateTime) = audit_head::table
        .find(HEAD)
        // `NOW` would be the time before the wait for the lock, and times would run against numbers.
        .select((audit_head::number, audit_head::hash, sql::<Datetime>("SYSDATE(6)")))
        .for_update()
        .first(connection)
        .await?;
    let mut line = AuditLine {
        number: number + 1,
        at,
        actor_kind: entry.actor.kind.to_string(),
        actor_id: entry.actor.id.map(|id| id.to_string()),
        actor_name: shortened(&entry.actor.name, 254),
        action: entry.action.to_string(),
        object_kind: entry.object_kind.to_string(),
        object_id: shortened(&entry.object_id, 64),
        result: entry.result.clone(),
        address: entry.address.clone(),
        request_id: entry.request_id.clone(),
        details: bounded(&entry.details),
        previous: previous.clone(),
        hash: String::new(),
    };
    line.hash = entry.key.seal(&previous, &line);
    diesel::insert_into(audit::table).values(&line).execute(connection).await?;
    diesel::update(audit_head::table.find(HEAD))
        .set((audit_head::number.eq(line.number), audit_head::hash.eq(&line.hash)))
        .execute(connection)
        .await?;
    Ok(())
}

fn shortened(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}

/// Details as they are stored. What strangers send stands in them too: none may be too long for its column,
/// since then nobody would hear of the request.
fn bounded(details: &Map<String, Value>) -> String {
    let text = cut(&Value::Object(details.clone())).to_string();
    if text.len() <= MOST_DETAILS {
        return text;
    }
    json!({ "cut": shortened(&text, LONGEST_TEXT) }).to_string()
}

fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(shortened(text, LONGEST_TEXT)),
        Value::Array(members) => members.iter().take(MOST_MEMBERS).map(cut).collect(),
        Value::Object(members) => {
            let members = members.iter().take(MOST_MEMBERS);
            members.map(|(name, value)| (shortened(name, LONGEST_TEXT), cut(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl Store {
    /// Writes down something that changes no record of ours, such as a view or a refusal.
    ///
    /// # Errors
    /// When the database does not take it; then it must not be shown, either.
    pub async fn audit(&self, entry: &AuditEntry) -> StoreResult<()> {
        transaction!(self, connection => { append(connection, entry).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(details: Value) -> Value {
        let text = bounded(details.as_object().expect("an object"));
        assert!(text.len() <= MOST_DETAILS, "{}", text.len());
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn details_fit_whatever_was_sent() {
        let reason = "ü".repeat(500);
        let whole = json!({"reason": reason, "page": 7, "all": true, "none": null});
        assert_eq!(stored(whole.clone()), whole, "what is not too long stays whole");

        let long = "x".repeat(70_000);
        let nested = json!({"route": long, "filter": {"search": [long, {"deep": long}]}});
        let cut = "x".repeat(500);
        let expected = json!({"route": cut, "filter": {"search": [cut, {"deep": cut}]}});
        assert_eq!(stored(nested), expected);
        let many: Vec<_> = (0..51).collect();
        assert_eq!(stored(json!({"many": many})), json!({"many": many[..50]}));

        // Written as six bytes each.
        let control = "\u{1}".repeat(500);
        let stored = stored(json!({"list": vec![control; 50]}));
        assert!(stored["cut"].is_string(), "{stored}");
    }
}

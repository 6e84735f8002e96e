//! Appends to the audit log. Each entry is sealed together with the previous one so that a changed, removed or inserted
//! entry can be detected.
//!
//! A change and its audit entry are written in one transaction. For a read, the audit entry is written before the data
//! is returned.

use crate::audit::entry::{Action, Actor, AuditEntry, ObjectKind};
use crate::audit::seal::AuditKey;
use crate::db::connection::Connection;
use crate::db::email_address::MAX_EMAIL_LENGTH;
use crate::db::error::StoreResult;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{audit, audit_head};
use crate::db::sql_text::truncated;
use crate::db::utc_time::UtcTime;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value, json};

pub(crate) const HEAD_ROW: i32 = 1;
/// Maximum length of a reason given by staff, in characters.
pub const MAX_REASON_LENGTH: usize = 500;
/// Maximum length of a string in the details, in characters.
const MAX_TEXT_LENGTH: usize = MAX_REASON_LENGTH;
const MAX_MEMBERS: usize = 50;
const MAX_DETAILS_BYTES: usize = 65_535;

#[derive(Debug, Clone)]
pub struct NewAuditEntry {
    pub key: AuditKey,
    pub actor: Actor,
    pub action: Action,
    pub object_kind: ObjectKind,
    pub object_id: String,
    pub result: String,
    pub address: String,
    pub request_id: String,
    pub details: Map<String, Value>,
}

impl NewAuditEntry {
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn with_result(mut self, result: &str) -> Self {
        result.clone_into(&mut self.result);
        self
    }
}

/// Appends an entry in the caller's transaction. This must be the last step of the transaction because it locks the
/// head of the log until the transaction ends.
pub(crate) async fn append(connection: &mut Connection, entry: &NewAuditEntry) -> StoreResult<()> {
    let (number, previous, at): (i64, String, UtcTime) = audit_head::table
        .find(HEAD_ROW)
        // `NOW` would return the time before the query waited for the lock, which can precede the previous entry.
        .select((audit_head::number, audit_head::hash, sql::<Datetime>("SYSDATE(6)")))
        .for_update()
        .first(connection)
        .await?;
    let mut row = AuditEntry {
        number: number + 1,
        at,
        actor_kind: entry.actor.kind.to_string(),
        actor_id: entry.actor.id.map(|id| id.to_string()),
        actor_name: truncated(&entry.actor.name, MAX_EMAIL_LENGTH),
        action: entry.action.to_string(),
        object_kind: entry.object_kind.to_string(),
        object_id: truncated(&entry.object_id, 64),
        result: entry.result.clone(),
        address: entry.address.clone(),
        request_id: entry.request_id.clone(),
        details: bounded_details(&entry.details),
        key_id: entry.key.id().to_owned(),
        previous: previous.clone(),
        hash: String::new(),
    };
    row.hash = entry.key.seal(&row);
    diesel::insert_into(audit::table).values(&row).execute(connection).await?;
    diesel::update(audit_head::table.find(HEAD_ROW))
        .set((audit_head::number.eq(row.number), audit_head::hash.eq(&row.hash)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Shortens the details to fit their column because clients can influence their length.
fn bounded_details(details: &Map<String, Value>) -> String {
    let text = shorten(&Value::Object(details.clone())).to_string();
    if text.len() <= MAX_DETAILS_BYTES {
        return text;
    }
    json!({ "cut": truncated(&text, MAX_TEXT_LENGTH) }).to_string()
}

fn shorten(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(truncated(text, MAX_TEXT_LENGTH)),
        Value::Array(members) => members.iter().take(MAX_MEMBERS).map(shorten).collect(),
        Value::Object(members) => {
            let members = members.iter().take(MAX_MEMBERS);
            members
                .map(|(name, value)| (truncated(name, MAX_TEXT_LENGTH), shorten(value)))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl Store {
    /// Records an action that changes nothing, such as a read. If this call fails, the caller must not return the data.
    pub async fn append_audit_entry(&self, entry: &NewAuditEntry) -> StoreResult<()> {
        transaction!(self, connection => { append(connection, entry).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(details: Value) -> Value {
        let text = bounded_details(details.as_object().expect("an object"));
        assert!(text.len() <= MAX_DETAILS_BYTES, "{}", text.len());
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn details_always_fit_their_column() {
        let reason = "ü".repeat(500);
        let short = json!({"reason": reason, "page": 7, "all": true, "none": null});
        assert_eq!(stored(short.clone()), short, "short values are stored unchanged");

        let long = "x".repeat(70_000);
        let nested = json!({"route": long, "filter": {"search": [long, {"deep": long}]}});
        let cut = "x".repeat(500);
        let expected = json!({"route": cut, "filter": {"search": [cut, {"deep": cut}]}});
        assert_eq!(stored(nested), expected);
        let many: Vec<_> = (0..51).collect();
        assert_eq!(stored(json!({"many": many})), json!({"many": many[..50]}));

        // JSON encodes each of these characters as six bytes.
        let control = "\u{1}".repeat(500);
        let stored = stored(json!({"list": vec![control; 50]}));
        assert!(stored["cut"].is_string(), "{stored}");
    }
}

//! Searches the audit log.

use crate::audit::entry::{Action, AuditEntry, ObjectKind};
use crate::db::error::StoreResult;
use crate::db::ids::UserId;
use crate::db::pool::Store;
use crate::db::schema::audit;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor_id: Option<UserId>,
    /// The account's exact e-mail address or, for an anonymous client, the address the client entered.
    pub actor: Option<String>,
    pub action: Option<Action>,
    pub object_kind: Option<ObjectKind>,
    pub object_id: Option<String>,
    pub result: Option<String>,
    pub request_id: Option<String>,
    /// Earliest time, inclusive.
    pub from: Option<UtcTime>,
    /// Latest time, exclusive.
    pub to: Option<UtcTime>,
    /// Upper bound for the entry number, exclusive.
    pub before: Option<i64>,
}

impl Store {
    /// Returns up to `limit` matching entries, newest first.
    pub async fn find_audit_entries(
        &self,
        filter: &AuditFilter,
        limit: i64,
    ) -> StoreResult<Vec<AuditEntry>> {
        let mut query = audit::table.select(AuditEntry::as_select()).into_boxed();
        if let Some(id) = filter.actor_id {
            query = query.filter(audit::actor_id.eq(id));
        }
        if let Some(actor) = &filter.actor {
            query = query.filter(audit::actor_name.eq(actor.clone()));
        }
        if let Some(action) = filter.action {
            query = query.filter(audit::action.eq(action));
        }
        if let Some(kind) = filter.object_kind {
            query = query.filter(audit::object_kind.eq(kind));
        }
        if let Some(id) = &filter.object_id {
            query = query.filter(audit::object_id.eq(id.clone()));
        }
        if let Some(result) = &filter.result {
            query = query.filter(audit::result.eq(result.clone()));
        }
        if let Some(id) = &filter.request_id {
            query = query.filter(audit::request_id.eq(id.clone()));
        }
        if let Some(from) = filter.from {
            query = query.filter(audit::at.ge(from));
        }
        if let Some(to) = filter.to {
            query = query.filter(audit::at.lt(to));
        }
        if let Some(number) = filter.before {
            query = query.filter(audit::number.lt(number));
        }
        let mut connection = self.connection().await?;
        let entries = query.order(audit::number.desc()).limit(limit).load(&mut connection).await?;
        Ok(entries)
    }
}

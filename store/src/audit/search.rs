//! Finds lines of the audit.

use crate::audit::entry::{Action, AuditEntry, ObjectKind};
use crate::db::error::StoreResult;
use crate::db::ids::UserId;
use crate::db::pool::Store;
use crate::db::schema::audit;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// What to find; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this account.
    pub actor_id: Option<UserId>,
    /// Of somebody with, or claiming, exactly this e-mail address.
    pub actor: Option<String>,
    /// This was done.
    pub action: Option<Action>,
    /// To a thing of this kind.
    pub object_kind: Option<ObjectKind>,
    /// To the thing of this name.
    pub object_id: Option<String>,
    /// With this result: `success`, or the code of a refusal.
    pub result: Option<String>,
    /// By this request.
    pub request_id: Option<String>,
    /// Not before this time (UTC).
    pub from: Option<UtcTime>,
    /// Before this time (UTC).
    pub to: Option<UtcTime>,
    /// Before the line of this number.
    pub before: Option<i64>,
}

impl Store {
    /// The newest lines that fit, newest first, at most `limit`.
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

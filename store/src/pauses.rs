//! Staff can pause the requests to LoopAI, and the e-mails. Every worker reads the pauses before each request, poll and
//! e-mail, so no cache has to expire. See `docs/adr/0022-pauses.md`.

use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::email_address::MAX_EMAIL_LENGTH;
use crate::db::error::StoreResult;
use crate::db::ids::UserId;
use crate::db::pool::{Store, transaction};
use crate::db::schema::pauses;
use crate::db::sql_text::{stored_as_text, truncated};
use crate::db::utc_time::UtcTime;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use serde::Deserialize;
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// What staff can pause.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Deserialize,
    AsExpression,
    FromSqlRow,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum PauseTarget {
    /// Requests for a diagnosis, and polls.
    LoopaiRequests,
    Emails,
}
stored_as_text!(PauseTarget);

impl PauseTarget {
    pub const ALL: &[PauseTarget] = <Self as VariantArray>::VARIANTS;

    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = pauses)]
pub struct Pause {
    pub target: PauseTarget,
    pub reason: String,
    pub paused_by: Option<UserId>,
    /// E-mail address that the account had at the time.
    pub paused_by_name: String,
    pub paused_at: UtcTime,
}

impl Store {
    /// Pauses a target. If it is already paused, the existing pause and its reason are left unchanged. Returns whether
    /// this call paused the target.
    pub async fn pause(
        &self,
        target: PauseTarget,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let inserted = diesel::insert_or_ignore_into(pauses::table)
                .values((
                    pauses::target.eq(target),
                    pauses::reason.eq(reason),
                    pauses::paused_by.eq(entry.actor.id),
                    pauses::paused_by_name.eq(truncated(&entry.actor.name, MAX_EMAIL_LENGTH)),
                    pauses::paused_at.eq(now()),
                ))
                .execute(connection)
                .await?;
            append_entry(connection, entry, inserted == 1).await
        })
    }

    /// Returns whether the target was paused.
    pub async fn resume(&self, target: PauseTarget, entry: &NewAuditEntry) -> StoreResult<bool> {
        transaction!(self, connection => {
            let deleted = diesel::delete(pauses::table.find(target)).execute(connection).await?;
            append_entry(connection, entry, deleted == 1).await
        })
    }

    /// Returns the targets that are paused.
    pub async fn pauses(&self) -> StoreResult<Vec<Pause>> {
        let found =
            pauses::table.select(Pause::as_select()).load(&mut self.connection().await?).await?;
        Ok(found)
    }

    pub async fn is_paused(&self, target: PauseTarget) -> StoreResult<bool> {
        is_paused(&mut *self.connection().await?, target).await
    }
}

async fn append_entry(
    connection: &mut Connection,
    entry: &NewAuditEntry,
    has_changed: bool,
) -> StoreResult<bool> {
    if has_changed {
        log::append(connection, entry).await?;
    } else {
        log::append(connection, &entry.clone().with_result(UNCHANGED)).await?;
    }
    Ok(has_changed)
}

pub(crate) async fn is_paused(
    connection: &mut Connection,
    target: PauseTarget,
) -> StoreResult<bool> {
    let found: Option<PauseTarget> =
        pauses::table.find(target).select(pauses::target).first(connection).await.optional()?;
    Ok(found.is_some())
}

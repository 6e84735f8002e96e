//! Revokes the access tokens of submissions.

use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::{Store, transaction};
use crate::db::schema::submissions;
use crate::submissions::row::lock_not_deleted;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeTokenOutcome {
    Revoked,
    Unchanged,
    NotFound,
}

impl Store {
    pub async fn revoke_token(
        &self,
        submission: SubmissionId,
        entry: &NewAuditEntry,
    ) -> StoreResult<RevokeTokenOutcome> {
        transaction!(self, connection => {
            if lock_not_deleted(connection, submission).await?.is_none() {
                return Ok(RevokeTokenOutcome::NotFound);
            }
            let valid =
                submissions::table.find(submission).filter(submissions::token_revoked_at.is_null());
            let revoked = diesel::update(valid)
                .set(submissions::token_revoked_at.eq(now().nullable()))
                .execute(connection)
                .await?;
            if revoked == 0 {
                log::append(connection, &entry.clone().with_result(UNCHANGED)).await?;
                return Ok(RevokeTokenOutcome::Unchanged);
            }
            log::append(connection, entry).await?;
            Ok(RevokeTokenOutcome::Revoked)
        })
    }
}

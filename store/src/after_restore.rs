//! What must be settled when the database was brought back to an earlier moment: what happened after that moment
//! is not in it, but the world has seen it.

use crate::audit::{self, AuditEntry};
use crate::clock::now;
use crate::connection::Connection;
use crate::deliveries::DeliveryStatus;
use crate::error::StoreResult;
use crate::events::{self, Step};
use crate::ids::{DeliveryId, SubmissionId};
use crate::pool::{Store, transaction};
use crate::runs::lock;
use crate::schema::{deliveries, sessions};
use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Why an e-mail is *unknown* that was owed at the moment of the backup.
const CODE_RESTORED: &str = "restored";
/// E-mails that are read at once.
const BATCH: i64 = 500;

/// What was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterRestore {
    /// E-mails that are *unknown* now.
    pub mails: usize,
    /// Sessions that ended.
    pub sessions: usize,
}

impl Store {
    /// Settles every e-mail that was owed as *unknown*, since it may have been sent after that moment, and ends
    /// every session, since it may have been ended after it. For a database that was just restored, while nobody
    /// works on it. Repeating it changes nothing more.
    ///
    /// # Errors
    /// When the database does not take it; then it is to be repeated.
    pub async fn after_restore(&self, entry: &AuditEntry) -> StoreResult<AfterRestore> {
        let mut mails = 0;
        loop {
            let owed = self.owed_mails().await?;
            if owed.is_empty() {
                break;
            }
            for (delivery, submission) in owed {
                transaction!(self, connection => { settle(connection, delivery, submission).await })?;
                mails += 1;
            }
        }
        transaction!(self, connection => {
            let open = sessions::table.filter(sessions::ended_at.is_null());
            let end = (sessions::ended_at.eq(now().nullable()), sessions::end_reason.eq(CODE_RESTORED));
            let sessions = diesel::update(open).set(end).execute(connection).await?;
            let entry = entry.clone().with("mails", mails).with("sessions", sessions);
            audit::append(connection, &entry).await?;
            Ok(AfterRestore { mails, sessions })
        })
    }

    async fn owed_mails(&self) -> StoreResult<Vec<(DeliveryId, SubmissionId)>> {
        let owed = deliveries::table
            .filter(deliveries::settled_at.is_null())
            .limit(BATCH)
            .select((deliveries::id, deliveries::submission_id))
            .load(&mut self.connection().await?)
            .await?;
        Ok(owed)
    }
}

async fn settle(
    connection: &mut Connection,
    delivery: DeliveryId,
    submission: SubmissionId,
) -> StoreResult<()> {
    let Some((stands, _)) = lock(connection, submission).await? else { return Ok(()) };
    let settled =
        diesel::update(deliveries::table.find(delivery).filter(deliveries::settled_at.is_null()))
            .set((
                deliveries::status.eq(DeliveryStatus::Unknown),
                deliveries::error_code.eq(CODE_RESTORED),
                deliveries::settled_at.eq(now().nullable()),
                deliveries::start_after.eq(None::<NaiveDateTime>),
            ))
            .execute(connection)
            .await?;
    if settled == 1 {
        events::append(connection, submission, stands, &[Step::MailUnknown]).await?;
    }
    Ok(())
}

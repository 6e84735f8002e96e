//! Settles e-mails, runs and sessions after the database has been restored from a backup. Changes made after the backup
//! are missing, but patients may have been notified of them.

use crate::accounts::sessions::EndReason;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, FIRST_RUN, RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, runs, sessions, submissions};
use crate::deliveries::maybe_notified::{self, MaybeNotified};
use crate::deliveries::model::DeliveryKind;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

const BATCH: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporalState {
    /// Temporal was not restored, and still has the data written after the restore point.
    Retained,
    /// Temporal was also restored, or is empty, so it repeats the steps after the restore point.
    Restored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreSummary {
    pub deliveries_settled: usize,
    pub runs: usize,
    pub sessions: usize,
}

impl Store {
    /// Settles every pending e-mail as *unknown* because it may have been sent. Marks every open run because it may
    /// have ended and notified its patient. When a marked run ends, its e-mail is immediately settled as *unknown*.
    /// Ends every session because it may already have been ended after the backup.
    ///
    /// Call this method after a restore, while no other process is using the database. It is safe to repeat the call.
    /// If Temporal's data was [retained](TemporalState::Retained), only runs that Temporal has closed may have notified
    /// their patients.
    pub async fn settle_after_restore(
        &self,
        temporal: TemporalState,
        entry: &NewAuditEntry,
    ) -> StoreResult<RestoreSummary> {
        let mut deliveries_settled = 0;
        loop {
            let due = self.due_deliveries().await?;
            if due.is_empty() {
                break;
            }
            for (delivery, submission) in due {
                transaction!(self, connection => { maybe_notified::settle_unknown(connection, delivery, submission).await })?;
                deliveries_settled += 1;
            }
        }
        let runs = self.mark_open_runs(temporal).await?;
        transaction!(self, connection => {
            let open = sessions::table.filter(sessions::ended_at.is_null());
            let end = (sessions::ended_at.eq(now().nullable()), sessions::end_reason.eq(EndReason::Restored.as_str()));
            let sessions = diesel::update(open).set(end).execute(connection).await?;
            let entry = entry.clone().with("deliveries_settled", deliveries_settled).with("runs", runs);
            let entry = entry.with("sessions", sessions);
            log::append(connection, &entry).await?;
            Ok(RestoreSummary { deliveries_settled, runs, sessions })
        })
    }

    async fn due_deliveries(&self) -> StoreResult<Vec<(DeliveryId, SubmissionId)>> {
        let due = deliveries::table
            .filter(deliveries::settled_at.is_null())
            // Patients do not mind if they get a link twice.
            .filter(deliveries::kind.ne(DeliveryKind::Link))
            .limit(BATCH as i64)
            .select((deliveries::id, deliveries::submission_id))
            .load(&mut self.connection().await?)
            .await?;
        Ok(due)
    }

    async fn mark_open_runs(&self, temporal: TemporalState) -> StoreResult<usize> {
        let newest =
            runs::submission_id.eq(submissions::id).and(runs::number.eq(submissions::run_number));
        let mut open: Vec<(SubmissionId, i32, Option<String>)> = Vec::new();
        // Queries each state separately so that the query can use an index.
        for status in [Status::Pending, Status::Processing] {
            let found = submissions::table
                .inner_join(runs::table.on(newest))
                .filter(submissions::status.eq(status))
                .select((submissions::id, runs::number, runs::temporal_run_id))
                .load(&mut self.connection().await?)
                .await?;
            open.extend(found);
        }
        let mut marked = 0;
        for batch in open.chunks(BATCH) {
            marked += transaction!(self, connection => {
                let mut marked = 0;
                for (submission, number, temporal_run_id) in batch {
                    let run = RunKey { submission: *submission, number: *number };
                    let mark = maybe_notified_before(temporal, run, temporal_run_id.is_some());
                    marked += usize::from(maybe_notified::mark(connection, run, mark).await?);
                }
                Ok(marked)
            })?;
        }
        Ok(marked)
    }
}

fn maybe_notified_before(temporal: TemporalState, run: RunKey, was_started: bool) -> MaybeNotified {
    match temporal {
        // Temporal starts a submission's first run only once, so if that run ended after the backup, Temporal shows it
        // as closed. A retry, by contrast, would be started a second time.
        TemporalState::Retained if was_started || run.number == FIRST_RUN => {
            MaybeNotified::IfClosed
        }
        TemporalState::Retained | TemporalState::Restored => MaybeNotified::Unknown,
    }
}

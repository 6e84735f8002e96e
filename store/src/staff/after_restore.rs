//! What must be settled when the database was brought back to an earlier moment: what happened after that moment
//! is not in it, but the world has seen it.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, FIRST_RUN, RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, runs, sessions, submissions};
use crate::deliveries::maybe_notified::{self, MaybeNotified};
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// E-mails that are read, or runs that are marked, at once.
const BATCH: usize = 500;

/// Where Temporal stands when the database was brought back to an earlier moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporalState {
    /// It went on, and knows what was done after that moment.
    Retained,
    /// It was brought back to that moment too, or is empty: it does what was done after it once more.
    Restored,
}

/// What was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreSummary {
    /// E-mails that are *unknown* now.
    pub deliveries_settled: usize,
    /// Runs that were open, and whose end may have been told.
    pub runs: usize,
    /// Sessions that ended.
    pub sessions: usize,
}

impl Store {
    /// Settles every e-mail that was owed as *unknown*, since it may have been sent after that moment; marks every
    /// run that was open, since it may have ended after it and told its patient: then the e-mail of its end is
    /// *unknown* too, at once; and ends every session, since it may have been ended after it. For a database that
    /// was just restored, while nobody works on it. Repeating it changes nothing more.
    ///
    /// Where Temporal was [kept](TemporalState::Retained), only runs that it has closed may have told their end.
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
            let end = (sessions::ended_at.eq(now().nullable()), sessions::end_reason.eq("restored"));
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
            .limit(BATCH as i64)
            .select((deliveries::id, deliveries::submission_id))
            .load(&mut self.connection().await?)
            .await?;
        Ok(due)
    }

    /// Marks the newest runs of all submissions that have not ended; returns how many were not marked so before.
    async fn mark_open_runs(&self, temporal: TemporalState) -> StoreResult<usize> {
        let newest =
            runs::submission_id.eq(submissions::id).and(runs::number.eq(submissions::run_number));
        let mut open: Vec<(SubmissionId, i32, Option<String>)> = Vec::new();
        // One by one, each by the index.
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
        // A first run is started once, so one that was started after that moment shows as closed. A retry would be
        // started again.
        TemporalState::Retained if was_started || run.number == FIRST_RUN => {
            MaybeNotified::IfClosed
        }
        TemporalState::Retained | TemporalState::Restored => MaybeNotified::Unknown,
    }
}

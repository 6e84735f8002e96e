//! What Temporal is still to be told, and what it has lost: wishes to cancel, e-mails that are delivered
//! outside a run, and runs that ended there without a word to us.

use crate::clock::{after, before, now};
use crate::connection::Connection;
use crate::diagnosis::{self, Ending, Outcome};
use crate::error::StoreResult;
use crate::ids::{DeliveryId, SubmissionId};
use crate::moves::CODE_CANCELLED;
use crate::pool::{Store, transaction};
use crate::runs::{RunKey, lock};
use crate::schema::{deliveries, runs, submissions};
use crate::status::Status;
use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The code of a run that ended in Temporal without a word to us, by *Terminate* or with Temporal's data.
const CODE_LOST: &str = "run_lost";

/// A run that Temporal has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedRun {
    /// The run.
    pub run: RunKey,
    /// Temporal's name for it.
    pub temporal_run_id: String,
}

/// What is open for so long that Temporal should be asked whether anybody still works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overdue {
    /// A submission that has not ended.
    Run(StartedRun),
    /// An e-mail that is not settled, of a submission that has ended.
    Mail(DeliveryId, SubmissionId),
}

impl Overdue {
    /// The submission that it belongs to.
    pub fn submission(&self) -> SubmissionId {
        match self {
            Overdue::Run(started) => started.run.submission,
            Overdue::Mail(_, submission) => *submission,
        }
    }
}

impl Store {
    /// Takes up to `limit` wishes to cancel that Temporal was not told yet, each for the time `lease`.
    /// Racing callers skip one another's rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_cancellations(
        &self,
        limit: i64,
        lease: Duration,
    ) -> StoreResult<Vec<StartedRun>> {
        transaction!(self, connection => {
            let found: Vec<(SubmissionId, i32, Option<String>)> = runs::table
                .filter(runs::cancel_after.le(now().nullable()))
                .order(runs::cancel_after)
                .limit(limit)
                .select((runs::submission_id, runs::number, runs::temporal_run_id))
                .for_update()
                .skip_locked()
                .load(connection)
                .await?;
            let mut claimed = Vec::with_capacity(found.len());
            for (submission, number, temporal_run_id) in found {
                diesel::update(runs::table.find((submission, number)))
                    .set(runs::cancel_after.eq(after(lease).nullable()))
                    .execute(connection)
                    .await?;
                let run = RunKey { submission, number };
                claimed.extend(
                    temporal_run_id.map(|temporal_run_id| StartedRun { run, temporal_run_id }),
                );
            }
            Ok(claimed)
        })
    }

    /// Notes that Temporal was told that a run is called off, or that there is nothing left to tell.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancellation_told(&self, run: RunKey) -> StoreResult<()> {
        diesel::update(runs::table.find((run.submission, run.number)))
            .set(runs::cancel_after.eq(None::<NaiveDateTime>))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Ends a run that Temporal has closed, or does not know, while its submission has not ended:
    /// *cancelled* where staff called it off, otherwise *failed* with the code `run_lost`. Its e-mail is
    /// delivered outside a run. Says whether it was so; a newer run is left alone.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn end_lost_run(&self, run: RunKey) -> StoreResult<bool> {
        transaction!(self, connection => {
            let from = match lock(connection, run.submission).await? {
                Some((status, current)) if current == run.number => status,
                _ => return Ok(false),
            };
            let row = runs::table.find((run.submission, run.number));
            let called_off: Option<NaiveDateTime> =
                row.select(runs::cancel_requested_at).first(connection).await?;
            let (outcome, code) = match called_off {
                Some(_) => (Outcome::Cancelled, CODE_CANCELLED),
                None => (Outcome::Failed, CODE_LOST),
            };
            let detail = "the run is not open in Temporal any more, and recorded no end";
            let ending = Ending { outcome, code: code.to_owned(), detail: detail.to_owned() };
            let ended = diagnosis::end_run(connection, run, from, &ending).await?;
            if ended {
                owe_outside_runs(connection, run.submission, run.number..=run.number).await?;
            }
            Ok(ended)
        })
    }

    /// What has been open for the time `unchanged` without any change, of the `limit` next submissions
    /// after `beyond` (by id). Empty at the end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue(
        &self,
        unchanged: Duration,
        beyond: Option<SubmissionId>,
        limit: i64,
    ) -> StoreResult<Vec<Overdue>> {
        let beyond = beyond.map(|id| id.to_string()).unwrap_or_default();
        let mut connection = self.connection().await?;
        let started: Vec<(SubmissionId, i32, Option<String>)> = runs::table
            .inner_join(
                submissions::table.on(submissions::id
                    .eq(runs::submission_id)
                    .and(submissions::run_number.eq(runs::number))),
            )
            .filter(submissions::status.eq_any([Status::Pending, Status::Processing]))
            .filter(submissions::updated_at.le(before(unchanged)))
            .filter(submissions::id.gt(&beyond))
            .filter(runs::temporal_run_id.is_not_null())
            .filter(runs::started_at.le(before(unchanged).nullable()))
            .order(submissions::id)
            .limit(limit)
            .select((runs::submission_id, runs::number, runs::temporal_run_id))
            .load(&mut connection)
            .await?;
        let mails: Vec<(DeliveryId, SubmissionId)> = deliveries::table
            .filter(deliveries::settled_at.is_null())
            .filter(deliveries::start_after.is_null())
            .filter(deliveries::created_at.le(before(unchanged)))
            .filter(deliveries::submission_id.gt(&beyond))
            .order(deliveries::submission_id)
            .limit(limit)
            .select((deliveries::id, deliveries::submission_id))
            .load(&mut connection)
            .await?;
        let runs = started.into_iter().filter_map(|(submission, number, temporal_run_id)| {
            let run = RunKey { submission, number };
            Some(Overdue::Run(StartedRun { run, temporal_run_id: temporal_run_id? }))
        });
        let mails = mails.into_iter().map(|(delivery, of)| Overdue::Mail(delivery, of));
        let mut found: Vec<_> = runs.chain(mails).collect();
        found.sort_by_key(|overdue| overdue.submission().to_string());
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Lets an unsettled e-mail be delivered outside its run, which does not do it any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn deliver_outside_a_run(&self, delivery: DeliveryId) -> StoreResult<()> {
        diesel::update(deliveries::table.find(delivery).filter(deliveries::settled_at.is_null()))
            .set(deliveries::start_after.eq(now().nullable()))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Takes up to `limit` e-mails whose own workflow is to be started, each for the time `lease`. Racing
    /// callers skip one another's rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_deliveries(
        &self,
        limit: i64,
        lease: Duration,
    ) -> StoreResult<Vec<DeliveryId>> {
        transaction!(self, connection => {
            let found: Vec<DeliveryId> = deliveries::table
                .filter(deliveries::start_after.le(now().nullable()))
                .order(deliveries::start_after)
                .limit(limit)
                .select(deliveries::id)
                .for_update()
                .skip_locked()
                .load(connection)
                .await?;
            for delivery in &found {
                diesel::update(deliveries::table.find(delivery))
                    .set(deliveries::start_after.eq(after(lease).nullable()))
                    .execute(connection)
                    .await?;
            }
            Ok(found)
        })
    }

    /// Notes that an e-mail has its own workflow in Temporal.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delivery_started(&self, delivery: DeliveryId) -> StoreResult<()> {
        diesel::update(deliveries::table.find(delivery))
            .set(deliveries::start_after.eq(None::<NaiveDateTime>))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }
}

/// Lets what these runs of a submission owe, by their numbers, be delivered outside them.
pub(crate) async fn owe_outside_runs(
    connection: &mut Connection,
    submission: SubmissionId,
    runs: RangeInclusive<i32>,
) -> StoreResult<()> {
    diesel::update(
        deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .filter(deliveries::run_number.between(*runs.start(), *runs.end()))
            .filter(deliveries::settled_at.is_null()),
    )
    .set(deliveries::start_after.eq(now().nullable()))
    .execute(connection)
    .await?;
    Ok(())
}

//! Executions of the diagnosis workflow. A run without a Temporal run id waits to be started: the outbox.
//!
//! Which Temporal execution may change a submission is decided here (*adoption*). Every write of a
//! run is guarded by its number, so an activity of an older run that wakes up late changes nothing.

use crate::clock::{after, before, now};
use crate::connection::Connection;
use crate::counts;
use crate::deletion;
use crate::deliveries;
use crate::error::StoreResult;
use crate::events::{self, Step};
use crate::failpoint::Failpoint;
use crate::ids::SubmissionId;
use crate::places;
use crate::pool::{Store, transaction};
use crate::schema::{runs, submissions};
use crate::status::Status;
use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Names a run: the submission and the run's number within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// The submission.
    pub submission: SubmissionId,
    /// The run's number within it, from 1.
    pub number: i32,
}

/// A stored run.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// Number within the submission, from 1.
    pub number: i32,
    /// Temporal's name for it; none while it waits to be started.
    pub temporal_run_id: Option<String>,
    /// LoopAI's name for what it runs for us.
    pub loopai_execution_id: Option<String>,
    /// When it was queued (UTC).
    pub created_at: NaiveDateTime,
    /// When it was started (UTC).
    pub started_at: Option<NaiveDateTime>,
    /// When LoopAI took it (UTC).
    pub requested_at: Option<NaiveDateTime>,
    /// When it ended (UTC).
    pub finished_at: Option<NaiveDateTime>,
    /// When staff called it off (UTC).
    pub cancel_requested_at: Option<NaiveDateTime>,
}

/// Whether a Temporal execution may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// It is the submission's current run.
    Current {
        /// The run that it is.
        run: RunKey,
        /// Where the submission stands.
        status: Status,
        /// LoopAI's execution, when it was already recorded.
        execution_id: Option<String>,
    },
    /// A newer run took over, or another execution has this run: it must not touch anything.
    Superseded,
    /// There is no such submission.
    Unknown,
}

impl Store {
    /// Takes up to `limit` runs that wait to be started, each for the time `lease`: nobody else gets
    /// them before that is over. Racing callers skip one another's rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_queued_runs(&self, limit: i64, lease: Duration) -> StoreResult<Vec<RunKey>> {
        transaction!(self, connection => {
            let keys: Vec<(SubmissionId, i32)> = runs::table
                .filter(runs::temporal_run_id.is_null())
                // One that was called off before it began stays where it is.
                .filter(runs::finished_at.is_null())
                .filter(runs::start_after.le(now()))
                .order(runs::start_after)
                .limit(limit)
                .select((runs::submission_id, runs::number))
                .for_update()
                .skip_locked()
                .load(connection)
                .await?;
            if !keys.is_empty() {
                Failpoint::SweepUnclaimed.pass().await;
            }
            for key in &keys {
                diesel::update(runs::table.find(*key))
                    .set(runs::start_after.eq(after(lease)))
                    .execute(connection)
                    .await?;
            }
            Ok(keys
                .into_iter()
                .map(|(submission, number)| RunKey { submission, number })
                .collect())
        })
    }

    /// How many runs wait to be started, overdue by more than `overdue`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn queued_runs(&self, overdue: Duration) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        let count = runs::table
            .filter(runs::temporal_run_id.is_null())
            .filter(runs::finished_at.is_null())
            .filter(runs::created_at.le(before(overdue)))
            .count()
            .get_result(&mut connection)
            .await?;
        Ok(count)
    }

    /// Lets a sweep take a run that could not be started yet, after `pause`, whoever holds it now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn start_run_again(&self, run: RunKey, pause: Duration) -> StoreResult<()> {
        diesel::update(
            runs::table.find((run.submission, run.number)).filter(waits_for_its_start()),
        )
        .set(runs::start_after.eq(after(pause)))
        .execute(&mut self.connection().await?)
        .await?;
        Ok(())
    }

    /// Notes which Temporal execution a run became. Does nothing when that is known already.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn run_started(&self, run: RunKey, temporal_run_id: &str) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        mark_started(&mut connection, run, temporal_run_id).await?;
        Ok(())
    }

    /// Finds out which run a Temporal execution is, before it changes anything.
    ///
    /// `first_run_id` is the execution that the history began with: it differs from
    /// `temporal_run_id` after a *Reset*. A reset execution becomes a new run of the submission and
    /// sets it going again from whatever final state it finds, except from *completed*; one of a deleted
    /// submission does nothing. An
    /// execution that began by itself, but whose run another one already has, is a duplicate start.
    /// `execution_id` is what a reset execution remembers of LoopAI from before its reset point.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn adopt(
        &self,
        started_as: RunKey,
        temporal_run_id: &str,
        first_run_id: &str,
        execution_id: Option<&str>,
    ) -> StoreResult<Adoption> {
        transaction!(self, connection => {
            let Some((status, current)) = lock(connection, started_as.submission).await? else {
                return Ok(Adoption::Unknown);
            };
            let began_by_itself = temporal_run_id == first_run_id;
            // Before it is asked who has the run: the starter notes it too, at any moment, and whoever
            // is second must find what the first one wrote.
            if began_by_itself && started_as.number == current {
                mark_started(connection, started_as, temporal_run_id).await?;
            }
            if let Some((number, execution_id)) = run_of(connection, temporal_run_id).await? {
                return Ok(if number == current {
                    let run = RunKey { number, ..started_as };
                    Adoption::Current { run, status, execution_id }
                } else {
                    Adoption::Superseded
                });
            }
            if began_by_itself {
                return Ok(Adoption::Superseded);
            }
            if deletion::is_deleted(connection, started_as.submission).await? {
                return Ok(Adoption::Superseded);
            }
            let run = RunKey { number: current + 1, ..started_as };
            insert_reset(connection, run, temporal_run_id, execution_id).await?;
            places::leave(connection, RunKey { number: current, ..started_as }).await?;
            let status = revive(connection, run, status, execution_id.is_some()).await?;
            if execution_id.is_some() && !status.is_final() {
                places::occupy(connection, run).await?;
            }
            Ok(Adoption::Current { run, status, execution_id: execution_id.map(str::to_owned) })
        })
    }

    /// The runs of a submission, deleted or not, oldest first. Each has one at least: none is there when
    /// there is no such submission.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn runs(&self, submission: SubmissionId) -> StoreResult<Vec<Run>> {
        let mut connection = self.connection().await?;
        let found = runs::table
            .filter(runs::submission_id.eq(submission))
            .order(runs::number)
            .select(Run::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }
}

/// Locks a submission's row; tells where it stands and its newest run.
pub(crate) async fn lock(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<Option<(Status, i32)>> {
    let found = submissions::table
        .find(submission)
        .select((submissions::status, submissions::run_number))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

async fn run_of(
    connection: &mut Connection,
    temporal_run_id: &str,
) -> StoreResult<Option<(i32, Option<String>)>> {
    let found = runs::table
        .filter(runs::temporal_run_id.eq(temporal_run_id))
        .select((runs::number, runs::loopai_execution_id))
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

async fn mark_started(
    connection: &mut Connection,
    run: RunKey,
    temporal_run_id: &str,
) -> StoreResult<bool> {
    let changed = diesel::update(
        runs::table.find((run.submission, run.number)).filter(waits_for_its_start()),
    )
    .set((runs::temporal_run_id.eq(temporal_run_id), runs::started_at.eq(now().nullable())))
    .execute(connection)
    .await?;
    Ok(changed == 1)
}

/// Whether a run that is found by its key waits to be started. Told so that no index knows it: where few runs
/// wait, the database would rather look through those, and wait there for the ones that a sweep holds.
fn waits_for_its_start() -> SqlLiteral<Bool> {
    sql("COALESCE(runs.temporal_run_id, '') = ''")
}

async fn insert_reset(
    connection: &mut Connection,
    run: RunKey,
    temporal_run_id: &str,
    execution_id: Option<&str>,
) -> StoreResult<()> {
    diesel::insert_into(runs::table)
        .values((
            runs::submission_id.eq(run.submission),
            runs::number.eq(run.number),
            runs::temporal_run_id.eq(temporal_run_id),
            runs::loopai_execution_id.eq(execution_id),
            runs::start_after.eq(now()),
            runs::created_at.eq(now()),
            runs::started_at.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    diesel::update(submissions::table.find(run.submission))
        .set(submissions::run_number.eq(run.number))
        .execute(connection)
        .await?;
    // A retry that waits for room: it would disturb this run, and then find that it is too late.
    diesel::update(
        runs::table
            .filter(runs::submission_id.eq(run.submission))
            .filter(runs::number.lt(run.number))
            .filter(runs::temporal_run_id.is_null())
            .filter(runs::finished_at.is_null()),
    )
    .set(runs::finished_at.eq(now().nullable()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets a submission that had ended going again, for its new run; returns where it stands then. What earlier
/// runs still owe is not sent any more.
async fn revive(
    connection: &mut Connection,
    run: RunKey,
    status: Status,
    requested: bool,
) -> StoreResult<Status> {
    if !status.may_become(Status::Pending) {
        return Ok(status);
    }
    reopen(connection, run.submission, status).await?;
    deliveries::overtake(connection, run).await?;
    counts::moved(connection, run.submission, status, Status::Pending).await?;
    events::append(connection, run.submission, Status::Pending, &[Step::Retried]).await?;
    if !requested {
        return Ok(Status::Pending);
    }
    let reopened =
        submissions::table.find(run.submission).filter(submissions::status.eq(Status::Pending));
    let changed = diesel::update(reopened)
        .set(submissions::status.eq(Status::Processing))
        .execute(connection)
        .await?;
    counts::one_row(changed, run.submission, Status::Pending, Status::Processing)?;
    counts::moved(connection, run.submission, Status::Pending, Status::Processing).await?;
    events::append(connection, run.submission, Status::Processing, &[Step::Diagnosing]).await?;
    Ok(Status::Processing)
}

async fn reopen(
    connection: &mut Connection,
    submission: SubmissionId,
    from: Status,
) -> StoreResult<()> {
    let changed = diesel::update(
        submissions::table
            .find(submission)
            .filter(submissions::status.eq(from))
            .filter(submissions::status.eq_any(Status::Pending.sources())),
    )
    .set((
        submissions::status.eq(Status::Pending),
        submissions::error_code.eq(None::<String>),
        submissions::error_detail.eq(None::<String>),
        submissions::finished_at.eq(None::<NaiveDateTime>),
    ))
    .execute(connection)
    .await?;
    counts::one_row(changed, submission, from, Status::Pending)
}

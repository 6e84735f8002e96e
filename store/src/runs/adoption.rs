//! Adoption decides which Temporal execution may change a submission. Every write is fenced by the run number, so a
//! late activity from an older run changes nothing.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{runs, submissions};
use crate::db::utc_time::UtcTime;
use crate::loopai::slots;
use crate::runs::queue::mark_started;
use crate::runs::transitions;
use crate::submissions::counters;
use crate::submissions::events;
use crate::submissions::row::{is_deleted, lock};
use crate::submissions::status::Status;
use crate::submissions::steps::Step;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    Current {
        run: RunKey,
        status: Status,
        /// The id of LoopAI's execution, if it has already been recorded.
        execution_id: Option<String>,
    },
    /// A newer run has taken over, or the run belongs to another execution. The caller's execution must not change
    /// anything.
    Superseded,
    NotFound,
}

impl Store {
    /// Finds a Temporal execution's run. Call this before the execution changes anything.
    ///
    /// `first_run_id` is the Temporal run id of the execution in which the history began. After a *Reset*, this id
    /// differs from `temporal_run_id`. A reset execution becomes a new run of the submission, and restarts the
    /// submission if it has ended in any state other than *completed*. A reset execution does not change a deleted
    /// submission. An execution that was not reset but whose run belongs to another execution is a duplicate start.
    /// `execution_id` is the LoopAI execution requested before the reset point, if there was one.
    pub async fn adopt(
        &self,
        started_as: RunKey,
        temporal_run_id: &str,
        first_run_id: &str,
        execution_id: Option<&str>,
    ) -> StoreResult<Adoption> {
        transaction!(self, connection => {
            let Some((status, current)) = lock(connection, started_as.submission).await? else {
                return Ok(Adoption::NotFound);
            };
            let is_original = temporal_run_id == first_run_id;
            // The lookup must find the run even if the process that started it has not recorded the Temporal run id
            // yet.
            if is_original && started_as.number == current {
                mark_started(connection, started_as, temporal_run_id).await?;
            }
            if let Some((number, execution_id)) = find_run(connection, temporal_run_id).await? {
                return Ok(if number == current {
                    let run = RunKey { number, ..started_as };
                    Adoption::Current { run, status, execution_id }
                } else {
                    Adoption::Superseded
                });
            }
            if is_original {
                return Ok(Adoption::Superseded);
            }
            if is_deleted(connection, started_as.submission).await? {
                return Ok(Adoption::Superseded);
            }
            let run = RunKey { number: current + 1, ..started_as };
            let replaced = RunKey { number: current, ..started_as };
            insert_reset(connection, run, temporal_run_id, execution_id).await?;
            if !status.is_final() {
                take_over_cancellation(connection, replaced, run).await?;
            }
            slots::release(connection, replaced).await?;
            let status = restart(connection, run, status, execution_id.is_some()).await?;
            if execution_id.is_some() && !status.is_final() {
                slots::force_acquire(connection, run).await?;
            }
            Ok(Adoption::Current { run, status, execution_id: execution_id.map(str::to_owned) })
        })
    }
}

async fn find_run(
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
    // This run replaces all earlier runs. A queued retry must not start because its workflow would replace this run's
    // workflow and then end as superseded.
    diesel::update(
        runs::table
            .filter(runs::submission_id.eq(run.submission))
            .filter(runs::number.lt(run.number))
            .filter(runs::finished_at.is_null()),
    )
    .set(runs::finished_at.eq(now().nullable()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Requests the cancellation of `run` if staff or the patient cancelled the run it replaces, so a *Reset* cannot undo
/// an accepted cancellation.
async fn take_over_cancellation(
    connection: &mut Connection,
    replaced: RunKey,
    run: RunKey,
) -> StoreResult<()> {
    let replaced = runs::table.find((replaced.submission, replaced.number));
    let requested: Option<UtcTime> =
        replaced.select(runs::cancel_requested_at).first(connection).await?;
    if requested.is_some() {
        diesel::update(runs::table.find((run.submission, run.number)))
            .set((runs::cancel_requested_at.eq(requested), runs::cancel_after.eq(now().nullable())))
            .execute(connection)
            .await?;
        // Cancelling the replaced run no longer has any effect.
        diesel::update(replaced)
            .set(runs::cancel_after.eq(None::<UtcTime>))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Resets an ended submission so that its new run can process it. Returns the submission's new state.
async fn restart(
    connection: &mut Connection,
    run: RunKey,
    status: Status,
    requested: bool,
) -> StoreResult<Status> {
    if !status.can_become(Status::Pending) {
        return Ok(status);
    }
    transitions::reopen(connection, run, status, Status::Pending.sources()).await?;
    if !requested {
        return Ok(Status::Pending);
    }
    let changed =
        transitions::change_status(connection, run, Status::Pending, Status::Processing, None)
            .await?;
    let (from, to) = (Status::Pending, Status::Processing);
    counters::expect_one_row(usize::from(changed), run.submission, from, to)?;
    events::append(connection, run.submission, Status::Processing, &[Step::Diagnosing]).await?;
    Ok(Status::Processing)
}

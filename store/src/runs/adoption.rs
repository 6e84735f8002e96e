//! Adoption decides which Temporal execution may change a submission. Every write of a run is fenced by the run's
//! number, so a late activity of an older run changes nothing.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{runs, submissions};
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
        /// LoopAI's execution, if it is recorded already.
        execution_id: Option<String>,
    },
    /// A newer run took over, or the run belongs to another execution. This execution must not change anything.
    Superseded,
    NotFound,
}

impl Store {
    /// Finds the run of a Temporal execution. Call this before the execution changes anything.
    ///
    /// `first_run_id` is the execution in which the history began. It differs from `temporal_run_id` after a *Reset*. A
    /// reset execution becomes a new run of the submission and restarts it from any final state except *completed*. It
    /// does not change a deleted submission. An execution that was not reset is a duplicate start if its run belongs to
    /// another execution. `execution_id` is the LoopAI execution that was requested before the reset point, if there is
    /// one.
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
            // This precedes the lookup, which must find the run even if its starter has not recorded it yet.
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
            insert_reset(connection, run, temporal_run_id, execution_id).await?;
            slots::release(connection, RunKey { number: current, ..started_as }).await?;
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
    // A queued retry must not start: its workflow would replace the workflow of this run, and then end as superseded.
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

/// Restarts a submission that has ended, for its new run; returns its new state.
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

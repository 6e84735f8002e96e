//! The outbox: queued runs that have not been started in Temporal yet.

use crate::db::clock::{after, before, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::failpoint::Failpoint;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::runs;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use std::time::Duration;

impl Store {
    /// Claims up to `limit` queued runs. A claim expires after `lease`. Concurrent callers skip rows locked by another
    /// caller.
    pub async fn claim_queued_runs(&self, limit: i64, lease: Duration) -> StoreResult<Vec<RunKey>> {
        transaction!(self, connection => {
            let keys: Vec<(SubmissionId, i32)> = runs::table
                .filter(runs::temporal_run_id.is_null())
                // A run that was cancelled before it started stays in the table.
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
                Failpoint::BeforeRunsClaimed.pass().await;
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

    pub async fn count_queued_runs(&self, overdue: Duration) -> StoreResult<i64> {
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

    /// Makes a run available to sweeps after `pause`, even if another process has claimed it.
    pub async fn requeue_run(&self, run: RunKey, pause: Duration) -> StoreResult<()> {
        diesel::update(runs::table.find((run.submission, run.number)).filter(is_queued()))
            .set(runs::start_after.eq(after(pause)))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Records a run's Temporal execution unless one has already been recorded.
    pub async fn mark_run_started(&self, run: RunKey, temporal_run_id: &str) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        mark_started(&mut connection, run, temporal_run_id).await?;
        Ok(())
    }
}

pub(crate) async fn mark_started(
    connection: &mut Connection,
    run: RunKey,
    temporal_run_id: &str,
) -> StoreResult<bool> {
    let changed =
        diesel::update(runs::table.find((run.submission, run.number)).filter(is_queued()))
            .set((runs::temporal_run_id.eq(temporal_run_id), runs::started_at.eq(now().nullable())))
            .execute(connection)
            .await?;
    Ok(changed == 1)
}

/// Returns the condition that a run is queued, for queries that find the run by its key. `COALESCE` prevents the use of
/// an index. Otherwise, if few runs are queued, the database would use the index of queued runs instead of the key and
/// wait for rows locked by a sweep.
fn is_queued() -> SqlLiteral<Bool> {
    sql("COALESCE(runs.temporal_run_id, '') = ''")
}

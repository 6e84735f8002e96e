//! Records that a run has been cancelled.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::schema::runs;
use crate::db::utc_time::UtcTime;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

pub(crate) struct CancelRequest {
    /// Whether the run has been started in Temporal, which must then cancel it.
    pub(crate) is_started: bool,
    /// Whether the run had not been cancelled before.
    pub(crate) is_first: bool,
}

/// Returns a condition that matches submissions whose newest run has not been cancelled yet.
pub(crate) fn is_not_requested() -> SqlLiteral<Bool> {
    sql(
        "NOT EXISTS (SELECT 1 FROM runs FORCE INDEX (PRIMARY) WHERE runs.submission_id = submissions.id \
         AND runs.number = submissions.run_number AND runs.cancel_requested_at IS NOT NULL)",
    )
}

/// Records that a run has been cancelled. If the run has been started, the cancellation is stored until Temporal has
/// accepted it. The caller must hold the submission's lock.
pub(crate) async fn request(
    connection: &mut Connection,
    run: RunKey,
) -> StoreResult<CancelRequest> {
    let row = runs::table.find((run.submission, run.number));
    let is_started: bool =
        row.select(runs::temporal_run_id.is_not_null()).first(connection).await?;
    let requested = diesel::update(row.filter(runs::cancel_requested_at.is_null()))
        .set((
            runs::cancel_requested_at.eq(now().nullable()),
            runs::cancel_after.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    if !is_started {
        diesel::update(row).set(runs::cancel_after.eq(None::<UtcTime>)).execute(connection).await?;
    }
    Ok(CancelRequest { is_started, is_first: requested == 1 })
}

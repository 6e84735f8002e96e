//! What a patient can be told about the wait for LoopAI.

use crate::db::clock::now as db_now;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::pool::Store;
use crate::db::schema::runs;
use crate::db::utc_time::UtcTime;
use crate::loopai::slots::SlotRow;
use crate::pauses::{self, PauseTarget};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitStatus {
    /// `None` while the run is queued to be started in Temporal.
    pub started_at: Option<UtcTime>,
    /// Place of a deferred run in the queue for LoopAI, starting at 1.
    pub queue_position: Option<i64>,
    /// Whether staff have paused requests to LoopAI.
    pub is_paused: bool,
    /// Whether the patient or staff have requested the run's cancellation.
    pub is_cancelling: bool,
}

impl Store {
    /// Returns the wait status of an open run. The position is counted in the index `loopai_slots_waiting`, which
    /// contains one entry for each deferred run, however large the table is.
    pub async fn wait_status(&self, run: RunKey) -> StoreResult<WaitStatus> {
        let mut connection = self.connection().await?;
        let found: Option<(Option<UtcTime>, bool, UtcTime)> = runs::table
            .find((run.submission, run.number))
            .select((runs::started_at, runs::cancel_requested_at.is_not_null(), db_now()))
            .first(&mut connection)
            .await
            .optional()?;
        let slot = SlotRow::find(&mut connection, run).await?;
        let queue_position = match (found, slot.filter(|slot| slot.turn_expires_at.is_some())) {
            (Some((.., now)), Some(slot)) => Some(slot.ahead(&mut connection, now).await?.all + 1),
            _ => None,
        };
        Ok(WaitStatus {
            started_at: found.and_then(|(started_at, ..)| started_at),
            is_cancelling: found.is_some_and(|(_, is_cancelling, _)| is_cancelling),
            queue_position,
            is_paused: pauses::is_paused(&mut connection, PauseTarget::LoopaiRequests).await?,
        })
    }
}

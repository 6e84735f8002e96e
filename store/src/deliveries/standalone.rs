//! E-mails delivered by a standalone workflow instead of by the run that planned them.

use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::deliveries;
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::ops::RangeInclusive;
use std::time::Duration;

impl Store {
    /// Queues an unsettled e-mail that its run will no longer deliver for delivery by a standalone workflow.
    pub async fn queue_standalone_delivery(&self, delivery: DeliveryId) -> StoreResult<()> {
        diesel::update(deliveries::table.find(delivery).filter(deliveries::settled_at.is_null()))
            .set(deliveries::start_after.eq(now().nullable()))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }

    /// Claims up to `limit` e-mails whose workflow has not been started yet. A claim expires after `lease`. Concurrent
    /// callers skip rows locked by another caller.
    pub async fn claim_standalone_deliveries(
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

    /// Records that Temporal has a workflow for the delivery.
    pub async fn mark_delivery_started(&self, delivery: DeliveryId) -> StoreResult<()> {
        diesel::update(deliveries::table.find(delivery))
            .set(deliveries::start_after.eq(None::<UtcTime>))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(())
    }
}

/// Queues the unsettled e-mails of the given runs for delivery by standalone workflows.
pub(crate) async fn queue_standalone(
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

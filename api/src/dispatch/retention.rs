//! Erases submissions that have been stored for longer than the retention period.

use crate::dispatch::BATCH;
use crate::dispatch::periodic::{Backlog, periodic};
use diagflow_store::{EraseError, Eraser, RetentionPeriod};
use std::time::Duration;
use tokio::sync::Notify;

const INTERVAL: Duration = Duration::from_secs(600);

pub(super) async fn run(eraser: &Eraser, period: Option<RetentionPeriod>) {
    let Some(period) = period else { return };
    let never = Notify::new();
    periodic("retention", INTERVAL, &never, || erase(eraser, period)).await;
}

async fn erase(eraser: &Eraser, period: RetentionPeriod) -> Result<Backlog, EraseError> {
    let report = |erased: usize| {
        if erased > 0 {
            tracing::info!(erased, days = period.days(), "erased expired submissions");
        }
    };
    eraser.erase_expired(period, BATCH, &eraser.retention_entry(), report).await?;
    Ok(Backlog::None)
}

//! Sweeps bytes that no submission names: what is left of uploads that broke off, whole or half-stored.

use crate::error::kind;
use diagflow_store::{BlobStore, Store};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Longest pause between two looks.
const MAX_INTERVAL: Duration = Duration::from_secs(600);
/// What one ticks removes.
const BATCH: i64 = 100;

/// Sweeps until `stop` is cancelled. `age` is `ORPHANED_FILE_SECONDS`: how long bytes may stand without a name;
/// longer than any upload takes.
pub async fn sweep_orphaned_files(
    store: Store,
    bytes: BlobStore,
    age: Duration,
    stop: CancellationToken,
) {
    let mut ticks = interval(MAX_INTERVAL.min(age));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match store.sweep_orphaned_files(&bytes, age, BATCH).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed bytes that no submission names"),
            Err(error) => {
                tracing::warn!(error = kind(&error), "cannot sweep bytes that nobody names")
            }
        }
        match bytes.sweep_temp_files(age).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed bytes that were not stored to the end"),
            Err(error) => tracing::warn!(%error, "cannot sweep bytes that are half-stored"),
        }
    }
}

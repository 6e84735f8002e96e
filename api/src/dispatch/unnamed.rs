//! Sweeps bytes that no submission names: what is left of uploads that broke off, whole or half-stored.

use crate::error::kind;
use diagflow_store::{FileBytes, Store};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Longest pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// What one look removes.
const BATCH: i64 = 100;

/// Sweeps until `stop` is cancelled. `age` is `UNNAMED_BYTES_SECONDS`: how long bytes may stand without a name;
/// longer than any upload takes.
pub async fn sweep_unnamed_bytes(
    store: Store,
    bytes: FileBytes,
    age: Duration,
    stop: CancellationToken,
) {
    let mut look = interval(LOOK_EVERY.min(age));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        match store.sweep_unnamed_bytes(&bytes, age, BATCH).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed bytes that no submission names"),
            Err(error) => {
                tracing::warn!(error = kind(&error), "cannot sweep bytes that nobody names")
            }
        }
        match bytes.sweep_staged(age).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed bytes that were not stored to the end"),
            Err(error) => tracing::warn!(%error, "cannot sweep bytes that are half-stored"),
        }
    }
}

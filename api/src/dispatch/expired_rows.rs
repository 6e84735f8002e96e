//! Removes expired idempotency keys, sign-in throttles and sessions.

use crate::dispatch::periodic::{Backlog, periodic};
use diagflow_store::{Store, StoreResult};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::Notify;

const INTERVAL: Duration = Duration::from_secs(600);

pub(super) async fn run(store: &Store) {
    let never = Notify::new();
    periodic("expired_rows", INTERVAL, &never, || async {
        log_removed("idempotency_keys", store.sweep_idempotency_keys().await);
        log_removed("throttles", store.sweep_throttles().await);
        log_removed("sessions", store.sweep_sessions().await);
        Ok::<_, Infallible>(Backlog::None)
    })
    .await;
}

fn log_removed(table: &str, removed: StoreResult<usize>) {
    match removed {
        Ok(0) => {}
        Ok(removed) => tracing::debug!(table, removed, "removed expired rows"),
        Err(error) => tracing::warn!(table, error = error.kind(), "cannot remove expired rows"),
    }
}

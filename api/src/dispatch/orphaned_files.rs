//! Removes files that no submission refers to, such as files from interrupted uploads.

use crate::dispatch::BATCH;
use crate::dispatch::periodic::{Backlog, periodic};
use diagflow_store::{BlobStore, Store};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::Notify;

const MAX_INTERVAL: Duration = Duration::from_secs(600);

pub(super) async fn run(store: &Store, blobs: &BlobStore, age: Duration) {
    let never = Notify::new();
    periodic("orphaned_files", MAX_INTERVAL.min(age), &never, || async {
        remove(store, blobs, age).await;
        Ok::<_, Infallible>(Backlog::None)
    })
    .await;
}

async fn remove(store: &Store, blobs: &BlobStore, age: Duration) {
    match store.sweep_orphaned_files(blobs, age, BATCH).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed orphaned files"),
        Err(error) => tracing::warn!(error = error.kind(), "cannot remove orphaned files"),
    }
    match blobs.sweep_temp_files(age).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed temporary files"),
        Err(error) => tracing::warn!(%error, "cannot remove temporary files"),
    }
}

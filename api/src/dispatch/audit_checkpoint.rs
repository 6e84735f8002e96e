//! Writes audit log checkpoints to the process log. Because the process log is shipped off the machine, an attacker who
//! can write only to the database cannot remove the latest audit entries unnoticed.

use crate::dispatch::TaskError;
use crate::dispatch::periodic::{Backlog, periodic};
use diagflow_store::Store;
use std::time::Duration;
use tokio::sync::Notify;

const INTERVAL: Duration = Duration::from_secs(60);

pub(super) async fn run(store: &Store) {
    let never = Notify::new();
    periodic("audit_checkpoint", INTERVAL, &never, || async {
        let checkpoint = store.audit_head().await?;
        tracing::info!(%checkpoint, "audit checkpoint");
        Ok::<_, TaskError>(Backlog::None)
    })
    .await;
}

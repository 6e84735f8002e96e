//! Writes audit log checkpoints to the process log. Because the process log is shipped off the machine, an attacker who
//! can write only to the database cannot remove the latest audit entries unnoticed.

use crate::dispatch::TaskError;
use crate::dispatch::periodic::{Backlog, periodic};
use diagflow_store::{AuditCheckpoint, Store, StoreError};
use std::time::Duration;
use tokio::sync::Notify;

const INTERVAL: Duration = Duration::from_secs(60);

pub(super) async fn run(store: &Store) {
    log_checkpoints(INTERVAL, || store.audit_head()).await;
}

async fn log_checkpoints<F>(interval: Duration, mut read: impl FnMut() -> F)
where
    F: Future<Output = Result<AuditCheckpoint, StoreError>>,
{
    let never = Notify::new();
    periodic("audit_checkpoint", interval, &never, || {
        let checkpoint = read();
        async {
            let checkpoint = checkpoint.await?;
            tracing::info!(%checkpoint, "audit checkpoint");
            Ok::<_, TaskError>(Backlog::None)
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_checkpoint_is_read_once_per_interval_even_after_an_error() {
        let interval = Duration::from_millis(20);
        let (sender, mut reads) = mpsc::unbounded_channel();
        let mut number = 0;
        let started = Instant::now();
        let task = tokio::spawn(log_checkpoints(interval, move || {
            number += 1;
            sender.send(number).expect("a test in progress");
            std::future::ready(match number {
                2 => Err(StoreError::Unavailable("a test".to_owned())),
                number => Ok(AuditCheckpoint { number, hash: "0".repeat(64) }),
            })
        }));

        for expected in 1..=4 {
            let read = timeout(Duration::from_secs(60), reads.recv()).await;
            assert_eq!(read.expect("a read in time"), Some(expected));
        }

        assert!(started.elapsed() >= 3 * interval, "{:?}", started.elapsed());
        task.abort();
    }

    #[test]
    fn the_documentation_names_the_interval() {
        let documentation = include_str!("../../../docs/security.md");
        assert!(documentation.contains("writes a checkpoint to the process log every minute"));
        assert_eq!(INTERVAL, Duration::from_secs(60));
    }
}

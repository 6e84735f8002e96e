//! Starts the runs that wait: at once after a submission, and by sweeping what was left over.

use diagflow_store::RunKey;

/// Hands runs to the starter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: tokio::sync::mpsc::Sender<RunKey>,
}

impl Outbox {
    /// Asks for a run to be started soon, without waiting. When the starter is too busy to take it,
    /// the sweeper will: the run stands in the database.
    pub fn start_soon(&self, run: RunKey) {
        if self.queue.try_send(run).is_err() {
            tracing::debug!("the starter is busy, the sweeper will start the run");
        }
    }
}

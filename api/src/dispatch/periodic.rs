//! Runs a task periodically.

use std::fmt::Display;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

/// Whether a task has more work to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backlog {
    None,
    /// The task should run again immediately.
    Some,
}

/// Runs `work` every `period`, and immediately whenever `wake` is notified. Errors are logged and do not stop the loop.
/// Never returns.
pub(super) async fn periodic<F, E>(
    task: &'static str,
    period: Duration,
    wake: &Notify,
    mut work: impl FnMut() -> F,
) where
    F: Future<Output = Result<Backlog, E>>,
    E: Display,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = wake.notified() => {}
        }
        match work().await {
            Ok(Backlog::None) => {}
            Ok(Backlog::Some) => ticks.reset_immediately(),
            Err(error) => tracing::warn!(task, %error, "background task failed"),
        }
    }
}

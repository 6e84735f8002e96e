//! One file for each command.

pub(crate) mod loopai_sim;
pub(crate) mod mail_catcher;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod work;

use diagflow_activities::temporal::{self, TemporalSettings};
use std::time::Duration;
use temporalio_client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// First and longest pause between two tries to reach Temporal.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Connects to Temporal in the background, for as long as it takes; `None` until then. Once there,
/// the connection mends itself.
fn connect_in_background(
    settings: TemporalSettings,
    role: &'static str,
    stop: CancellationToken,
) -> watch::Receiver<Option<Client>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let identity = format!("diagflow-{role}-{}", std::process::id());
        let mut pause = PAUSES.0;
        loop {
            match temporal::connect(&settings, &identity).await {
                Ok(client) => {
                    tracing::info!(address = %settings.address, "connected to Temporal");
                    sender.send_replace(Some(client));
                    return;
                }
                Err(error) => {
                    tracing::warn!(address = %settings.address, %error, "cannot reach Temporal");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    });
    receiver
}

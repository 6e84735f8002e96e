//! The connection to Temporal, which may be unavailable at startup or later.

use diagflow_activities::temporal::{self, TemporalSettings};
use std::time::Duration;
use temporalio_client::Client;
use temporalio_client::tonic::IntoRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first and the longest pause between attempts to connect.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to Temporal in the background; the client is `None` until then. An established connection reconnects by
/// itself.
pub(crate) fn connect_in_background(
    settings: TemporalSettings,
    role: &'static str,
    stop: CancellationToken,
) -> watch::Receiver<Option<Client>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let identity = format!("diagflow-{role}-{}", std::process::id());
        let mut pause = RETRY_PAUSES.0;
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
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_PAUSES.1),
            }
        }
    });
    receiver
}

/// Whether Temporal responds now: an existing connection may be broken.
pub(crate) async fn is_healthy(client: Option<Client>) -> bool {
    let Some(client) = client else { return false };
    let mut service = client.connection().workflow_service();
    let request = service.get_system_info(GetSystemInfoRequest {}.into_request());
    matches!(tokio::time::timeout(HEALTH_TIMEOUT, request).await, Ok(Ok(_)))
}

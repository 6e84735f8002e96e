//! `diagflow serve`.

use super::connect_in_background;
use crate::settings::Settings;
use crate::{logging, shutdown};
use anyhow::Context;
use diagflow_api::{App, Outbox, Runs, StarterSettings, TemporalHealth, metrics_builder, serve};
use diagflow_store::{FileBytes, Store};
use std::sync::Arc;
use std::time::Duration;
use temporalio_client::Client;
use temporalio_client::tonic::IntoRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long Temporal may take for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Serves until it is asked to end, then lets requests and streams end.
pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    logging::init(&settings.log)?;
    let metrics = metrics_builder().install_recorder()?;
    let stop = shutdown::on_signal()?;
    let store = Store::connect(&settings.database.pool()).await?;
    let bytes = FileBytes::open(&settings.storage)?;
    let temporal = connect_in_background(settings.temporal.clone(), "api", stop.clone());
    let starter_settings = StarterSettings {
        task_queue: settings.temporal.task_queue.clone(),
        schedule: settings.schedule.clone(),
        sweep_every: settings.sweep_every,
    };
    let (outbox, starter) = Outbox::new(store.clone(), temporal.clone(), starter_settings);
    let starter = tokio::spawn(starter.run(stop.clone()));
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} (LISTEN_ADDRESS)", settings.listen))?;
    let app = App {
        store,
        bytes,
        outbox,
        runs: Runs::new(temporal.clone()),
        temporal: sign_of_life(temporal),
        metrics,
        settings: settings.api,
    };
    tracing::info!(address = %settings.listen, "serving");
    serve(listener, app, stop).await?;
    starter.await?;
    Ok(())
}

fn sign_of_life(temporal: watch::Receiver<Option<Client>>) -> TemporalHealth {
    Arc::new(move || {
        let client = temporal.borrow().clone();
        Box::pin(async move {
            let Some(client) = client else { return false };
            let mut service = client.connection().workflow_service();
            let asked = service.get_system_info(GetSystemInfoRequest {}.into_request());
            matches!(tokio::time::timeout(SIGN_OF_LIFE, asked).await, Ok(Ok(_)))
        })
    })
}

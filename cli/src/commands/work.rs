//! `diagflow work`.

use super::connect_in_background;
use crate::settings::{LoopAiImages, Settings};
use crate::{logging, shutdown};
use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use diagflow_activities::loopai::LoopAi;
use diagflow_activities::mail::{Mailer, SmtpClient};
use diagflow_activities::{Activities, ImageLinks, Images, run_worker};
use diagflow_api::metrics_builder;
use diagflow_store::{FileBytes, LinkKey, Store};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Works until it is asked to end, then lets activities end.
pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    logging::init(&settings.log)?;
    let metrics = metrics_builder().install_recorder()?;
    let stop = shutdown::on_signal()?;
    let store = Store::connect(&settings.database.pool()).await?;
    let from = settings.mail.from.clone();
    let images = images(&settings)?;
    let activities = Activities {
        store: store.clone(),
        images,
        loopai: LoopAi::new(settings.loopai)?,
        mailer: Mailer::new(SmtpClient::new(settings.mail)?, from),
    };
    let mut temporal = connect_in_background(settings.temporal, "worker", stop.clone());
    let listener = TcpListener::bind(settings.worker_listen).await.with_context(|| {
        format!("cannot listen on {} (WORKER_LISTEN_ADDRESS)", settings.worker_listen)
    })?;
    let signs = signs_of_life(store, temporal.clone(), metrics);
    tokio::spawn(axum::serve(listener, signs).into_future());
    let Some(client) = connected(&mut temporal, &stop).await else { return Ok(()) };
    tracing::info!(queue = settings.worker.task_queue, "working");
    run_worker(client, activities, &settings.worker, stop).await
}

fn images(settings: &Settings) -> anyhow::Result<Images> {
    Ok(match settings.loopai_images {
        LoopAiImages::Data => Images::Data(FileBytes::open(&settings.storage)?),
        LoopAiImages::Links { lifetime } => Images::Links(Box::new(ImageLinks {
            key: LinkKey::new(settings.api.secret_key.expose_secret()),
            public_url: settings.api.public_url.clone(),
            lifetime,
        })),
    })
}

/// The client, once there is one; `None` when the process shall end before.
async fn connected(
    temporal: &mut watch::Receiver<Option<Client>>,
    stop: &CancellationToken,
) -> Option<Client> {
    tokio::select! {
        () = stop.cancelled() => None,
        client = temporal.wait_for(Option::is_some) => client.ok()?.clone(),
    }
}

/// `/health`: the process lives; `/ready`: it has what it needs to work; `/metrics`.
fn signs_of_life(
    store: Store,
    temporal: watch::Receiver<Option<Client>>,
    metrics: PrometheusHandle,
) -> Router {
    let ready = move || {
        let store = store.clone();
        let is_connected = temporal.borrow().is_some();
        async move {
            let is_migrated = matches!(store.is_migrated().await, Ok(true));
            match (is_connected, is_migrated) {
                (true, true) => (StatusCode::OK, "ready"),
                (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "no connection to Temporal"),
                (_, false) => (StatusCode::SERVICE_UNAVAILABLE, "the database is not ready"),
            }
        }
    };
    Router::new()
        .route("/health", get(|| async { "healthy" }))
        .route("/ready", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }))
}

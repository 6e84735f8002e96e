//! `diagflow work`.

use crate::settings::Settings;
use crate::temporal::{connect_in_background, is_healthy};
use crate::{database, logging, metrics, shutdown};
use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use diagflow_activities::loopai::{
    ImageLinks, ImageMode, ImageTransfer, LoopAiClient, RequestLimiter,
};
use diagflow_activities::mail::{Mailer, SmtpClient};
use diagflow_activities::{Activities, DiagnosisRequester, run_worker};
use diagflow_store::{BlobStore, LinkKey, Store};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    logging::init(&settings.log)?;
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal()?;
    let store = database::open(&settings.database).await?;
    let from = settings.mail.from.clone();
    let images = image_transfer(&settings)?;
    let limiter = RequestLimiter::new(settings.worker.concurrency, settings.image_memory());
    let activities = Activities {
        store: store.clone(),
        requester: DiagnosisRequester {
            store: store.clone(),
            images,
            loopai: LoopAiClient::new(settings.loopai)?,
            limiter,
            limits: settings.limits,
        },
        mailer: Mailer::new(SmtpClient::new(settings.mail)?, from),
    };
    let mut temporal = connect_in_background(settings.temporal, "worker", stop.clone());
    let listener = TcpListener::bind(settings.worker_listen).await.with_context(|| {
        format!("cannot listen on {} (WORKER_LISTEN_ADDRESS)", settings.worker_listen)
    })?;
    let health = health_router(store, temporal.clone(), metrics);
    tokio::spawn(axum::serve(listener, health).into_future());
    let Some(client) = wait_for_client(&mut temporal, &stop).await else { return Ok(()) };
    tracing::info!(queue = settings.worker.task_queue, "polling the task queue");
    run_worker(client, activities, &settings.worker, stop).await
}

fn image_transfer(settings: &Settings) -> anyhow::Result<ImageTransfer> {
    Ok(match settings.loopai.images {
        ImageMode::Data => ImageTransfer::Data(BlobStore::open(&settings.storage)?),
        ImageMode::Url => ImageTransfer::Links(Box::new(ImageLinks {
            key: LinkKey::new(settings.api.secret_key.expose_secret()),
            public_url: settings.api.public_url.clone(),
            lifetime: settings.loopai.image_url_lifetime,
        })),
    })
}

/// Waits until the client is connected. Returns `None` if the process is stopped first.
async fn wait_for_client(
    temporal: &mut watch::Receiver<Option<Client>>,
    stop: &CancellationToken,
) -> Option<Client> {
    tokio::select! {
        () = stop.cancelled() => None,
        client = temporal.wait_for(Option::is_some) => client.ok()?.clone(),
    }
}

/// `/health` succeeds while the process runs, `/ready` only if Temporal and the database are available. `/metrics`
/// returns the metrics.
fn health_router(
    store: Store,
    temporal: watch::Receiver<Option<Client>>,
    metrics: PrometheusHandle,
) -> Router {
    let ready = move || {
        let store = store.clone();
        let client = temporal.borrow().clone();
        async move {
            let (is_healthy, is_migrated) = tokio::join!(is_healthy(client), store.is_migrated());
            match (is_healthy, matches!(is_migrated, Ok(true))) {
                (true, true) => (StatusCode::OK, "ready"),
                (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "Temporal is unavailable"),
                (_, false) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "the database is unavailable or not migrated")
                }
            }
        }
    };
    Router::new()
        .route("/health", get(|| async { "healthy" }))
        .route("/ready", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }))
}

//! `diagflow work`.

use crate::settings::{LoopAiImages, Settings};
use crate::temporal::{connect_in_background, is_alive};
use crate::{database, logging, metrics, shutdown};
use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use diagflow_activities::loopai::{Admission, ImageLinks, Images, LoopAi};
use diagflow_activities::mail::{Mailer, SmtpClient};
use diagflow_activities::{Activities, DiagnosisRequester, run_worker};
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
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal()?;
    let store = database::open(&settings.database).await?;
    let from = settings.mail.from.clone();
    let images = images(&settings)?;
    let admission = Admission::new(settings.worker.concurrency, settings.image_memory);
    let activities = Activities {
        store: store.clone(),
        requester: DiagnosisRequester {
            store: store.clone(),
            images,
            loopai: LoopAi::new(settings.loopai)?,
            admission,
            budget: settings.budget,
        },
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
        let client = temporal.borrow().clone();
        async move {
            let (is_alive, is_migrated) = tokio::join!(is_alive(client), store.is_migrated());
            match (is_alive, matches!(is_migrated, Ok(true))) {
                (true, true) => (StatusCode::OK, "ready"),
                (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "Temporal does not answer"),
                (_, false) => (StatusCode::SERVICE_UNAVAILABLE, "the database is not ready"),
            }
        }
    };
    Router::new()
        .route("/health", get(|| async { "healthy" }))
        .route("/ready", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }))
}

//! `diagflow work`: runs workflows and activities.

use crate::settings::{Role, Settings};
use crate::temporal::{TemporalConnection, connect_in_background};
use crate::{database, logging, metrics, shutdown};
use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use diagflow_activities::loopai::{
    ImageLinks, ImageMode, ImageTransfer, LoopAiClient, RequestLimiter,
};
use diagflow_activities::mail::{EmailLinks, EmailOptions, Mailer, SmtpClient};
use diagflow_activities::{Activities, DiagnosisRequester, run_worker};
use diagflow_store::{BlobStore, DatabaseState, EmailLinkKey, LinkKey, Store};
use metrics_exporter_prometheus::PrometheusHandle;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read(Role::Worker)?;
    logging::init(&settings.log)?;
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal()?;
    let store = database::open(&settings.database).await?;
    let from = settings.mail.from.clone();
    let emails = email_options(&settings);
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
        mailer: Mailer::new(SmtpClient::new(settings.mail)?, from, emails),
    };
    let mut temporal =
        connect_in_background(settings.temporal, store.clone(), "worker", stop.clone());
    let listener = TcpListener::bind(settings.worker_listen).await.with_context(|| {
        format!("cannot listen on {} (WORKER_LISTEN_ADDRESS)", settings.worker_listen)
    })?;
    let health = health_router(store, temporal.clone(), metrics);
    tokio::spawn(axum::serve(listener, health).into_future());
    let Some(client) = wait_for_client(&mut temporal.client, &stop).await else { return Ok(()) };
    tracing::info!(queue = settings.worker.task_queue, "polling the task queue");
    run_worker(client, activities, &settings.worker, stop).await
}

fn image_transfer(settings: &Settings) -> anyhow::Result<ImageTransfer> {
    Ok(match settings.loopai.images {
        ImageMode::Data => ImageTransfer::Data(BlobStore::open(&settings.storage)?),
        ImageMode::Url => ImageTransfer::Links(Box::new(ImageLinks {
            key: LinkKey::new(&settings.api.secret_keys),
            public_url: settings.api.public_url.clone(),
            lifetime: settings.loopai.image_url_lifetime,
        })),
    })
}

fn email_options(settings: &Settings) -> EmailOptions {
    EmailOptions {
        content: settings.mail.content,
        links: EmailLinks {
            key: EmailLinkKey::new(&settings.api.secret_keys),
            public_url: settings.api.public_url.clone(),
            lifetime_hours: settings.mail.link_hours,
        },
        retention: settings.erasure.retention,
    }
}

/// Waits until Temporal is connected. Returns `None` if the process is stopped first.
async fn wait_for_client(
    temporal: &mut watch::Receiver<Option<Client>>,
    stop: &CancellationToken,
) -> Option<Client> {
    tokio::select! {
        () = stop.cancelled() => None,
        client = temporal.wait_for(Option::is_some) => client.ok()?.clone(),
    }
}

/// `/health` succeeds as long as the process is running. `/ready` succeeds only if Temporal and the database are
/// available.
fn health_router(store: Store, temporal: TemporalConnection, metrics: PrometheusHandle) -> Router {
    let ready = move || {
        let store = store.clone();
        let temporal = temporal.clone();
        async move {
            let (problem, database) = tokio::join!(temporal.check(None), store.database_state());
            match (problem, database) {
                (Ok(()), Ok(DatabaseState::Ready)) => (StatusCode::OK, "ready".to_owned()),
                (Err(problem), _) => (StatusCode::SERVICE_UNAVAILABLE, problem.to_string()),
                (_, Ok(DatabaseState::ReadOnly)) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "the database is read-only".to_owned())
                }
                (_, _) => {
                    let problem = "the database is unavailable or not migrated".to_owned();
                    (StatusCode::SERVICE_UNAVAILABLE, problem)
                }
            }
        }
    };
    Router::new()
        .route("/health", get(|| async { "healthy" }))
        .route("/ready", get(ready))
        .route("/metrics", get(move || async move { metrics.render() }))
}

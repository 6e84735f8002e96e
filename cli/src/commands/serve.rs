//! `diagflow serve`: serves the API and runs its background tasks.

use crate::eraser::eraser;
use crate::settings::{Role, Settings, in_use};
use crate::temporal::{TemporalConnection, connect_in_background};
use crate::{database, logging, metrics, shutdown};
use anyhow::{Context, bail};
use diagflow_api::{App, Dispatch, TemporalHealth, serve};
use diagflow_store::BlobStore;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read(Role::Api)?;
    logging::init(&settings.log)?;
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal()?;
    let store = database::open(&settings.database).await?;
    let bytes = BlobStore::open(&settings.storage)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} (LISTEN_ADDRESS)", settings.listen))?;
    let temporal =
        connect_in_background(settings.temporal.clone(), store.clone(), "api", stop.clone());
    let eraser = eraser(store.clone(), bytes.clone(), &settings.api.audit_keys, &settings.erasure);
    let task_queue = settings.dispatch.task_queue.clone();
    let (dispatch, background) = Dispatch::new(
        store.clone(),
        bytes.clone(),
        eraser.clone(),
        temporal.client.clone(),
        settings.dispatch,
    );
    let background = tokio::spawn(background.run(stop.clone()));
    let app = App {
        store,
        bytes,
        dispatch,
        eraser,
        temporal_health: temporal_health(temporal, task_queue),
        metrics,
        settings: settings.api,
        setting_list: in_use().into(),
    };
    tracing::info!(address = %settings.listen, "serving");
    run_until_stopped(serve(listener, app, stop.clone()), background, &stop).await
}

/// If the background tasks end early, shuts down and returns an error so that the supervisor restarts the process.
/// Without background tasks, the API would accept submissions but never start their runs.
async fn run_until_stopped(
    serving: impl Future<Output = ()>,
    mut background: JoinHandle<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        () = &mut serving => (&mut background).await,
        ended = &mut background => {
            let is_early = !stop.is_cancelled();
            stop.cancel();
            serving.await;
            if is_early && ended.is_ok() {
                bail!("the background tasks ended unexpectedly");
            }
            ended
        }
    };
    ended.context("the background tasks failed")
}

fn temporal_health(temporal: TemporalConnection, task_queue: String) -> TemporalHealth {
    Arc::new(move || {
        let (temporal, task_queue) = (temporal.clone(), task_queue.clone());
        Box::pin(async move { temporal.check(Some(&task_queue)).await })
    })
}

#[cfg(test)]
mod tests {
    use super::run_until_stopped;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    async fn run(background: JoinHandle<()>, stopped: bool) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        if stopped {
            stop.cancel();
        }
        run_until_stopped(stop.clone().cancelled_owned(), background, &stop).await
    }

    #[tokio::test]
    async fn the_process_fails_when_its_background_tasks_end_early() {
        assert!(run(tokio::spawn(async {}), true).await.is_ok());
        let ended = run(tokio::spawn(async {}), false).await.expect_err("an early end");
        assert_eq!(ended.to_string(), "the background tasks ended unexpectedly");
        let panicked = run(tokio::spawn(async { panic!("on purpose") }), false).await;
        let panicked = panicked.expect_err("a panic");
        assert_eq!(panicked.to_string(), "the background tasks failed");
    }
}

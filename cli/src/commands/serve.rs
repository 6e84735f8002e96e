//! `diagflow serve`.

use crate::settings::Settings;
use crate::temporal::{connect_in_background, is_healthy};
use crate::{database, logging, metrics, shutdown};
use anyhow::{Context, bail};
use diagflow_api::{App, Dispatch, TemporalHealth, serve};
use diagflow_store::BlobStore;
use std::pin::pin;
use std::sync::Arc;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    logging::init(&settings.log)?;
    let metrics = metrics::install()?;
    let stop = shutdown::on_signal()?;
    let store = database::open(&settings.database).await?;
    let bytes = BlobStore::open(&settings.storage)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} (LISTEN_ADDRESS)", settings.listen))?;
    let temporal = connect_in_background(settings.temporal.clone(), "api", stop.clone());
    let (dispatch, background) =
        Dispatch::new(store.clone(), bytes.clone(), temporal.clone(), settings.dispatch);
    let background = tokio::spawn(background.run(stop.clone()));
    let app = App {
        store,
        bytes,
        dispatch,
        temporal_health: temporal_health(temporal),
        metrics,
        settings: settings.api,
    };
    tracing::info!(address = %settings.listen, "serving");
    run_until_stopped(serve(listener, app, stop.clone()), background, &stop).await
}

/// Without its background tasks, the API would accept submissions that are never started. If they end early, the API
/// therefore shuts down and the process fails, so that its supervisor restarts it.
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

fn temporal_health(temporal: watch::Receiver<Option<Client>>) -> TemporalHealth {
    Arc::new(move || Box::pin(is_healthy(temporal.borrow().clone())))
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
    async fn the_process_fails_when_its_background_tasks_end() {
        assert!(run(tokio::spawn(async {}), true).await.is_ok());
        let ended = run(tokio::spawn(async {}), false).await.expect_err("an early end");
        assert_eq!(ended.to_string(), "the background tasks ended unexpectedly");
        let panicked = run(tokio::spawn(async { panic!("on purpose") }), false).await;
        let panicked = panicked.expect_err("a panic");
        assert_eq!(panicked.to_string(), "the background tasks failed");
    }
}

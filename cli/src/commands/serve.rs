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

/// Serves until it is asked to end, then lets requests and streams end.
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

/// Serves beside the starter. Where the starter is gone too early, submissions would be taken and never
/// begun: then requests may end, and so does the process, for its supervisor to start it anew.
async fn run_until_stopped(
    serving: impl Future<Output = ()>,
    mut starter: JoinHandle<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        () = &mut serving => (&mut starter).await,
        ended = &mut starter => {
            let too_early = !stop.is_cancelled();
            stop.cancel();
            serving.await;
            if too_early && ended.is_ok() {
                bail!("the starter of runs has ended by itself");
            }
            ended
        }
    };
    ended.context("the starter of runs has failed")
}

fn temporal_health(temporal: watch::Receiver<Option<Client>>) -> TemporalHealth {
    Arc::new(move || Box::pin(is_healthy(temporal.borrow().clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How serving ends beside a starter, which is asked to end where `asked`.
    async fn ended(starter: JoinHandle<()>, asked: bool) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        if asked {
            stop.cancel();
        }
        run_until_stopped(stop.clone().cancelled_owned(), starter, &stop).await
    }

    #[tokio::test]
    async fn the_process_fails_when_its_background_tasks_end() {
        assert!(ended(tokio::spawn(async {}), true).await.is_ok());
        let by_itself = ended(tokio::spawn(async {}), false).await.expect_err("too early");
        assert_eq!(by_itself.to_string(), "the starter of runs has ended by itself");
        let panicked = ended(tokio::spawn(async { panic!("on purpose") }), false).await;
        let panicked = panicked.expect_err("a panic");
        assert_eq!(panicked.to_string(), "the starter of runs has failed");
    }
}

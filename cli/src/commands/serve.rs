//! `diagflow serve`.

use crate::settings::Settings;
use crate::temporal::{connect_in_background, is_alive};
use crate::{database, logging, metrics, shutdown};
use anyhow::{Context, bail};
use diagflow_api::{
    App, Keeper, KeeperSettings, Outbox, Runs, StarterSettings, TemporalHealth, serve,
    sweep_unnamed_bytes,
};
use diagflow_store::FileBytes;
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
    let bytes = FileBytes::open(&settings.storage)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {} (LISTEN_ADDRESS)", settings.listen))?;
    let temporal = connect_in_background(settings.temporal.clone(), "api", stop.clone());
    let starter_settings = StarterSettings {
        task_queue: settings.temporal.task_queue.clone(),
        schedule: settings.schedule.clone(),
        sweep_every: settings.sweep_every,
    };
    let (outbox, starter) = Outbox::new(store.clone(), temporal.clone(), starter_settings);
    let runs = Runs::new(temporal.clone());
    let keeper_settings = KeeperSettings {
        task_queue: settings.temporal.task_queue.clone(),
        sweep_every: settings.sweep_every,
        lost_after: settings.lost_after,
        lost_every: settings.lost_every,
    };
    let keeper = Keeper::new(store.clone(), runs.clone(), keeper_settings);
    let (starting, keeping) = (starter.run(stop.clone()), keeper.run(stop.clone()));
    let (age, until) = (settings.unnamed_after, stop.clone());
    let sweeping = sweep_unnamed_bytes(store.clone(), bytes.clone(), age, until);
    let starter = tokio::spawn(async {
        let ((), (), ()) = tokio::join!(starting, keeping, sweeping);
    });
    let app = App {
        store,
        bytes,
        outbox,
        runs,
        temporal: sign_of_life(temporal),
        metrics,
        settings: settings.api,
    };
    tracing::info!(address = %settings.listen, "serving");
    both(serve(listener, app, stop.clone()), starter, &stop).await
}

/// Serves beside the starter. Where the starter is gone too early, submissions would be taken and never
/// begun: then requests may end, and so does the process, for its supervisor to start it anew.
async fn both(
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

fn sign_of_life(temporal: watch::Receiver<Option<Client>>) -> TemporalHealth {
    Arc::new(move || Box::pin(is_alive(temporal.borrow().clone())))
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
        both(stop.clone().cancelled_owned(), starter, &stop).await
    }

    #[tokio::test]
    async fn without_its_starter_the_process_ends_with_an_error() {
        assert!(ended(tokio::spawn(async {}), true).await.is_ok());
        let by_itself = ended(tokio::spawn(async {}), false).await.expect_err("too early");
        assert_eq!(by_itself.to_string(), "the starter of runs has ended by itself");
        let panicked = ended(tokio::spawn(async { panic!("on purpose") }), false).await;
        let panicked = panicked.expect_err("a panic");
        assert_eq!(panicked.to_string(), "the starter of runs has failed");
    }
}

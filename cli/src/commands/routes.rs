//! `diagflow routes`.

use crate::settings::Settings;
use diagflow_api::{App, Dispatch, metrics_builder, route_table};
use diagflow_store::{BlobStore, Store};
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

/// Prints every route with its permission and the roles that have it, without connecting to any server.
pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    // Building the complete API opens no connections: they are opened only when they are needed.
    let store = Store::connect(&settings.database).await?;
    let temporal = watch::channel(None).1;
    let folder = Url::from_directory_path(std::env::temp_dir())
        .map_err(|()| anyhow::anyhow!("the folder for temporary files is not an absolute path"))?;
    let bytes = BlobStore::open(&folder)?;
    let app = App {
        dispatch: Dispatch::new(store.clone(), bytes.clone(), temporal, settings.dispatch).0,
        store,
        bytes,
        temporal_health: Arc::new(|| Box::pin(async { false })),
        metrics: metrics_builder().build_recorder().handle(),
        settings: settings.api,
    };
    for route in route_table(app) {
        println!("{route}");
    }
    Ok(())
}

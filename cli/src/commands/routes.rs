//! `diagflow routes`: lists the API's routes.

use crate::eraser::eraser;
use crate::settings::{Role, Settings};
use diagflow_api::{App, Dispatch, metrics_builder, route_table};
use diagflow_store::{BlobStore, Store};
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

/// Prints every route with its required permission and the roles that have it. Does not connect to any server.
pub(crate) async fn run() -> anyhow::Result<()> {
    let settings = Settings::read(Role::Api)?;
    // Building the complete API opens no connections because each one is opened on first use.
    let store = Store::connect(&settings.database).await?;
    let temporal = watch::channel(None).1;
    let folder = Url::from_directory_path(std::env::temp_dir())
        .map_err(|()| anyhow::anyhow!("the folder for temporary files is not an absolute path"))?;
    let bytes = BlobStore::open(&folder)?;
    let eraser = eraser(store.clone(), bytes.clone(), &settings.api.audit_keys, &settings.erasure);
    let (dispatch, _) =
        Dispatch::new(store.clone(), bytes.clone(), eraser.clone(), temporal, settings.dispatch);
    let app = App {
        dispatch,
        eraser,
        store,
        bytes,
        temporal_health: Arc::new(|| Box::pin(async { Ok(()) })),
        metrics: metrics_builder().build_recorder().handle(),
        settings: settings.api,
        setting_list: Arc::default(),
    };
    for route in route_table(app) {
        println!("{route}");
    }
    Ok(())
}

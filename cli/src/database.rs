//! Connects to the database.

use diagflow_store::{PoolSettings, Store, StoreError};

/// Creates the pool. An unreachable database is only logged, since it may start later than this process.
pub(crate) async fn open(settings: &PoolSettings) -> Result<Store, StoreError> {
    let store = Store::connect(settings).await?;
    let (probe, address) = (store.clone(), settings.address());
    tokio::spawn(async move {
        match probe.ping().await {
            Ok(()) => {}
            // No statement was sent yet, so the error cannot contain a patient's data.
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(address, %error, "cannot reach the database (DATABASE_URL)");
            }
            Err(_) => tracing::warn!(address, "the database does not respond (DATABASE_URL)"),
        }
    });
    Ok(store)
}

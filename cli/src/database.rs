//! The first look at the database, for whoever set the wrong address.

use diagflow_store::{PoolSettings, Store, StoreError};

/// Makes the pool, and looks in the background whether the database answers. One that does not is
/// waited for: it may come up later than this process.
///
/// # Errors
/// When the pool cannot be built.
pub(crate) async fn open(settings: &PoolSettings) -> Result<Store, StoreError> {
    let store = Store::connect(settings).await?;
    let (asked, address) = (store.clone(), settings.address());
    tokio::spawn(async move {
        match asked.ping().await {
            Ok(()) => {}
            // No statement was sent yet, so nothing of a patient can be in the text.
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(address, %error, "cannot reach the database (DATABASE_URL)");
            }
            Err(_) => tracing::warn!(address, "the database does not answer (DATABASE_URL)"),
        }
    });
    Ok(store)
}

//! Connects to the database.

use diagflow_store::{MAX_RESULT_BYTES, PoolSettings, Store, StoreError};
use std::time::Duration;

const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Creates the connection pool. Does not fail if the database is unreachable, since it may start after this process.
pub(crate) async fn open(settings: &PoolSettings) -> Result<Store, StoreError> {
    let store = Store::connect(settings).await?;
    tokio::spawn(check(store.clone(), settings.address()));
    Ok(store)
}

/// Waits until the database responds. Logs one warning if it is unreachable, and an error for each server limit that is
/// too small.
async fn check(store: Store, address: String) {
    let mut is_first = true;
    loop {
        match store.too_small_limits(MAX_RESULT_BYTES).await {
            Ok(limits) => {
                for limit in limits {
                    let variable = limit.variable;
                    tracing::error!(
                        variable,
                        value = limit.value,
                        required = limit.required,
                        "a database server limit is too small for the largest result"
                    );
                }
                return;
            }
            Err(error) if is_first => log_unavailable(&address, &error),
            Err(_) => {}
        }
        is_first = false;
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

fn log_unavailable(address: &str, error: &StoreError) {
    match error {
        // No statement has been sent yet, so the error cannot contain patient data.
        StoreError::Unavailable(_) => {
            tracing::warn!(address, %error, "cannot reach the database (DATABASE_URL)");
        }
        _ => tracing::warn!(address, "the database does not respond (DATABASE_URL)"),
    }
}

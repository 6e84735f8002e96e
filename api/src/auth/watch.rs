//! Ends an event stream when its reader loses access: when the session ends, the API key is revoked, the account is
//! disabled, or its role changes, on any replica.

use crate::app::AppState;
use crate::auth::caller::{AuthMethod, Caller};
use crate::auth::permissions::Permission;
use diagflow_store::{Store, StoreResult, User};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Owned by the stream, so that polling stops when the stream is dropped.
pub(crate) struct AccessWatch {
    ended: CancellationToken,
    _stops_polling: Option<DropGuard>,
}

impl AccessWatch {
    /// Ends only at shutdown. For readers with the submission's access token.
    pub(crate) fn until_shutdown(state: &AppState) -> Self {
        Self { ended: state.closing.clone(), _stops_polling: None }
    }

    /// Ends at shutdown, or when `caller` loses `permission`.
    pub(crate) fn while_permitted(
        state: &AppState,
        caller: &Caller,
        permission: Permission,
    ) -> Self {
        let ended = state.closing.child_token();
        tokio::spawn(poll(state.app.store.clone(), caller.auth_method, permission, ended.clone()));
        Self { ended: ended.clone(), _stops_polling: Some(ended.drop_guard()) }
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

async fn poll(
    store: Store,
    auth_method: AuthMethod,
    permission: Permission,
    ended: CancellationToken,
) {
    while ended.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await.is_some() {
        match has_permissions(&store, auth_method, &[permission]).await {
            Ok(true) => {}
            Ok(false) => ended.cancel(),
            // Without the database the stream has nothing to send either.
            Err(error) => {
                tracing::debug!(error = error.kind(), "cannot check the permission of a stream")
            }
        }
    }
}

pub(crate) async fn has_permissions(
    store: &Store,
    auth_method: AuthMethod,
    permissions: &[Permission],
) -> StoreResult<bool> {
    let user = user(store, auth_method).await?;
    let has = user.map_or(&[][..], |user| Permission::of(user.role));
    Ok(permissions.iter().all(|permission| has.contains(permission)))
}

async fn user(store: &Store, auth_method: AuthMethod) -> StoreResult<Option<User>> {
    match auth_method {
        AuthMethod::Session(session) => store.session_user(session).await,
        AuthMethod::ApiKey(key) => store.api_key_user(key).await,
    }
}

//! Ends what stays open when the one who opened it may not read it any more: the session was ended or is
//! idle, the API key was revoked, the account disabled, or its role changed; on whichever replica that was.

use crate::app::AppState;
use crate::auth::caller::{AuthMethod, Caller};
use crate::auth::permissions::Permission;
use crate::error::kind;
use diagflow_store::{Store, StoreResult, User};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often it is looked whether the caller still may.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Stays with what is open. Ends with it, and with the process.
pub(crate) struct AccessWatch {
    ended: CancellationToken,
    _stops_polling: Option<DropGuard>,
}

impl AccessWatch {
    /// Nothing but the end of the process ends it: for whoever brings a submission's own token.
    pub(crate) fn until_shutdown(state: &AppState) -> Self {
        Self { ended: state.closing.clone(), _stops_polling: None }
    }

    /// Ends when `caller` loses `permission`.
    pub(crate) fn while_permitted(
        state: &AppState,
        caller: &Caller,
        permission: Permission,
    ) -> Self {
        let ended = state.closing.child_token();
        tokio::spawn(poll(state.app.store.clone(), caller.auth_method, permission, ended.clone()));
        Self { ended: ended.clone(), _stops_polling: Some(ended.drop_guard()) }
    }

    /// Waits for the end.
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
            // Nothing can be read in the meantime, either.
            Err(error) => tracing::debug!(error = kind(&error), "a session could not be looked at"),
        }
    }
}

/// Whether whoever was recognised by this still has all of these permissions.
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

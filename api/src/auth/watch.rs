//! Ends what stays open when the one who opened it may not read it any more: the session was ended or is
//! idle, the API key was revoked, the account disabled, or its role changed; on whichever replica that was.

use crate::app::AppState;
use crate::auth::caller::{Caller, Via};
use crate::auth::permissions::Permission;
use crate::error::kind;
use diagflow_store::{Store, StoreResult, User};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often it is looked whether the caller still may.
const EVERY: Duration = Duration::from_secs(1);

/// Stays with what is open. Ends with it, and with the process.
pub(crate) struct Watch {
    ended: CancellationToken,
    _ends_the_looking: Option<DropGuard>,
}

impl Watch {
    /// Nothing but the end of the process ends it: for whoever brings a submission's own token.
    pub(crate) fn of_nobody(state: &AppState) -> Self {
        Self { ended: state.closing.clone(), _ends_the_looking: None }
    }

    /// Ends when `caller` loses `permission`.
    pub(crate) fn of(state: &AppState, caller: &Caller, permission: Permission) -> Self {
        let ended = state.closing.child_token();
        tokio::spawn(look(state.app.store.clone(), caller.via, permission, ended.clone()));
        Self { ended: ended.clone(), _ends_the_looking: Some(ended.drop_guard()) }
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

async fn look(store: Store, via: Via, permission: Permission, ended: CancellationToken) {
    while ended.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match still_may(&store, via, &[permission]).await {
            Ok(true) => {}
            Ok(false) => ended.cancel(),
            // Nothing can be read in the meantime, either.
            Err(error) => tracing::debug!(error = kind(&error), "a session could not be looked at"),
        }
    }
}

/// Whether whoever was recognised by this still has all of these permissions.
pub(crate) async fn still_may(
    store: &Store,
    via: Via,
    permissions: &[Permission],
) -> StoreResult<bool> {
    let user = user(store, via).await?;
    let has = user.map_or(&[][..], |user| Permission::of(user.role));
    Ok(permissions.iter().all(|permission| has.contains(permission)))
}

async fn user(store: &Store, via: Via) -> StoreResult<Option<User>> {
    match via {
        Via::Session(session) => store.session_user(session).await,
        Via::ApiKey(key) => store.api_key_user(key).await,
    }
}

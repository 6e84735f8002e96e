//! Polls the permissions of callers with open streams.

use crate::auth::auth_method::AuthMethod;
use crate::auth::permissions::Permission;
use diagflow_store::{Store, StoreResult, User};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub(super) type Permissions = &'static [Permission];

/// Polls the permissions of each session and API key with open streams. All streams of a session share one query.
#[derive(Clone, Default)]
pub(crate) struct PermissionPolls(Arc<Mutex<HashMap<AuthMethod, watch::Sender<Permissions>>>>);

impl PermissionPolls {
    /// `permissions` are the caller's current permissions.
    pub(super) fn subscribe(
        &self,
        store: &Store,
        auth_method: AuthMethod,
        permissions: Permissions,
    ) -> watch::Receiver<Permissions> {
        let mut polls = self.lock();
        if let Some(poll) = polls.get(&auth_method) {
            poll.send_replace(permissions);
            return poll.subscribe();
        }
        let (sender, receiver) = watch::channel(permissions);
        polls.insert(auth_method, sender.clone());
        tokio::spawn(self.clone().poll(store.clone(), auth_method, sender));
        receiver
    }

    async fn poll(
        self,
        store: Store,
        auth_method: AuthMethod,
        permissions: watch::Sender<Permissions>,
    ) {
        let _guard = EndAfterPanic { polls: &self, auth_method };
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if self.remove_unused(auth_method, &permissions) {
                return;
            }
            match current_permissions(&store, auth_method).await {
                Ok(current) => drop(permissions.send_replace(current)),
                // The streams may stay open, because they have nothing to send while the database is unavailable.
                Err(error) => {
                    tracing::debug!(error = error.kind(), "cannot check stream permission")
                }
            }
        }
    }

    fn remove_unused(
        &self,
        auth_method: AuthMethod,
        permissions: &watch::Sender<Permissions>,
    ) -> bool {
        // New receivers are only created while the map is locked.
        let mut polls = self.lock();
        let is_unused = permissions.receiver_count() == 0;
        if is_unused {
            polls.remove(&auth_method);
        }
        is_unused
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AuthMethod, watch::Sender<Permissions>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a poll that panics, so that its last sender is dropped and its streams end.
struct EndAfterPanic<'a> {
    polls: &'a PermissionPolls,
    auth_method: AuthMethod,
}

impl Drop for EndAfterPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.polls.lock().remove(&self.auth_method);
        }
    }
}

pub(crate) async fn has_permissions(
    store: &Store,
    auth_method: AuthMethod,
    permissions: &[Permission],
) -> StoreResult<bool> {
    let current = current_permissions(store, auth_method).await?;
    Ok(permissions.iter().all(|permission| current.contains(permission)))
}

async fn current_permissions(store: &Store, auth_method: AuthMethod) -> StoreResult<Permissions> {
    let user = user(store, auth_method).await?;
    Ok(user.map_or(&[][..], |user| Permission::of(user.role)))
}

async fn user(store: &Store, auth_method: AuthMethod) -> StoreResult<Option<User>> {
    match auth_method {
        AuthMethod::Session(session) => store.session_user(session).await,
        AuthMethod::ApiKey(key) => store.api_key_user(key).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unreachable_store;
    use diagflow_store::SessionId;

    #[tokio::test]
    async fn all_streams_of_a_session_share_one_poll_which_ends_with_the_last_stream() {
        let polls = PermissionPolls::default();
        let store = unreachable_store().await;
        let session = AuthMethod::Session(SessionId::new());
        let other = AuthMethod::Session(SessionId::new());
        let subscribe = |auth_method| polls.subscribe(&store, auth_method, &[]);

        let mut streams: Vec<_> = (0..1000).map(|_| subscribe(session)).collect();
        streams.push(subscribe(other));

        assert_eq!(polls.lock().len(), 2);
        streams.truncate(1);
        while polls.lock().len() > 1 {
            tokio::time::sleep(POLL_INTERVAL / 20).await;
        }
        assert!(
            polls.lock().contains_key(&session),
            "the poll ended although a stream was still open"
        );
        drop(streams);
        while !polls.lock().is_empty() {
            tokio::time::sleep(POLL_INTERVAL / 20).await;
        }
    }
}

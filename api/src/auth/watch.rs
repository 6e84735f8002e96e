//! Ends an event stream when its reader loses access, because the session ends, the API key is revoked, the account is
//! disabled, or its role changes. Any replica may have made the change.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permission_polls::Permissions;
use crate::auth::permissions::Permission;
use diagflow_store::UserId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) struct AccessWatch {
    closing: CancellationToken,
    /// `None` for a reader who uses the submission's access token, which is not tied to a session.
    account: Option<AccountAccess>,
}

struct AccountAccess {
    user: UserId,
    permission: Permission,
    current: watch::Receiver<Permissions>,
}

impl AccessWatch {
    /// Returns a watch that ends only at shutdown, for readers who use the submission's access token.
    pub(crate) fn until_shutdown(state: &AppState) -> Self {
        Self { closing: state.closing.clone(), account: None }
    }

    #[cfg(test)]
    pub(crate) fn until(ended: CancellationToken) -> Self {
        Self { closing: ended, account: None }
    }

    /// Returns a watch that ends at shutdown, or when `caller` loses `permission`.
    pub(crate) fn while_permitted(
        state: &AppState,
        caller: &Caller,
        permission: Permission,
    ) -> Self {
        let permissions = Permission::of(caller.user.role);
        let store = &state.app.store;
        let current = state.permission_polls.subscribe(store, caller.auth_method, permissions);
        let account = AccountAccess { user: caller.user.id, permission, current };
        Self { closing: state.closing.clone(), account: Some(account) }
    }

    pub(crate) fn account(&self) -> Option<UserId> {
        self.account.as_ref().map(|account| account.user)
    }

    pub(crate) async fn ended(&self) {
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = permission_lost(self.account.as_ref()) => {}
        }
    }
}

async fn permission_lost(account: Option<&AccountAccess>) {
    let Some(AccountAccess { permission, current, .. }) = account else {
        return std::future::pending().await;
    };
    // An error means that the poll has ended, so the current permission is unknown.
    let _ = current.clone().wait_for(|permissions| !permissions.contains(permission)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::auth_method::AuthMethod;
    use crate::auth::permission_polls::PermissionPolls;
    use crate::tests::unreachable_store;
    use diagflow_store::SessionId;

    #[tokio::test]
    async fn a_stream_ends_when_its_reader_loses_the_permission() {
        let polls = PermissionPolls::default();
        let store = unreachable_store().await;
        let session = AuthMethod::Session(SessionId::new());
        let read = Permission::SubmissionsRead;
        let current = polls.subscribe(&store, session, &[Permission::SubmissionsRead]);
        let account = AccountAccess { user: UserId::new(), permission: read, current };
        let watch = AccessWatch { closing: CancellationToken::new(), account: Some(account) };
        assert!(futures::FutureExt::now_or_never(watch.ended()).is_none());

        polls.subscribe(&store, session, &[]);

        watch.ended().await;
    }
}

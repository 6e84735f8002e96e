//! `/api/v1/users`: accounts, their sessions and API keys.

pub(crate) mod body;
pub(super) mod create;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod session_body;
pub(crate) mod sessions;
pub(super) mod update;
mod validation;

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use diagflow_store::{Action, ObjectKind, User, UserId};

/// Returns the account with this id, even if it is disabled. If no such account exists, records in the audit log that
/// `action` was refused.
async fn find_user(
    state: &AppState,
    caller: &Caller,
    action: Action,
    id: UserId,
) -> ApiResult<User> {
    match state.app.store.user(id).await? {
        Some(user) => Ok(user),
        None => {
            let entry = caller.audit_entry(action, ObjectKind::User, id);
            Err(refuse(state, entry, ApiError::NotFound).await)
        }
    }
}

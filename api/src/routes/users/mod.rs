//! `/api/v1/users`: accounts, their sessions and API keys.

mod body;
mod draft;
pub(super) mod keys;
pub(super) mod list;
pub(super) mod sessions;
pub(super) mod write;

pub(crate) use body::UserBody;

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use diagflow_store::{AuditEntry, User, UserId};

/// The account of this id, also a disabled one.
async fn existing(state: &AppState, id: UserId) -> ApiResult<User> {
    state.app.store.user(id).await?.ok_or(ApiError::NotFound)
}

/// Writes down that a change was refused, and passes the refusal on.
async fn refused<T>(state: &AppState, line: AuditEntry, refusal: ApiError) -> ApiResult<T> {
    state.app.store.audit(&line.refused(refusal.code())).await?;
    Err(refusal)
}

//! The pages of all accounts, of one account, and of a new account.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::ApiResult;
use crate::extract::path_id::PathId;
use crate::extract::query::ValidQuery;
use crate::pages::console::context::ConsoleContext;
use crate::pages::render::page;
use crate::routes::accounts::body::UserBody;
use crate::routes::accounts::keys::{ApiKeyBody, list_user_keys};
use crate::routes::accounts::list::{
    UserPagination, UserSearch, list_users, read_user as read_account,
};
use crate::routes::accounts::session_body::SessionBody;
use crate::routes::accounts::sessions::list_user_sessions;
use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use diagflow_store::{Role, UserId, UtcTime};

#[derive(Template)]
#[template(path = "console/users.html")]
struct UsersTemplate {
    page: ConsoleContext,
    roles: &'static [Role],
    users: Vec<UserBody>,
    pagination: UserPagination,
    may_write: bool,
}

impl UsersTemplate {
    fn pages(&self) -> i64 {
        (self.pagination.total + self.pagination.per_page - 1) / self.pagination.per_page
    }

    fn is_filtered(&self) -> bool {
        ["search", "role", "disabled"].iter().any(|name| !self.page.parameter(name).is_empty())
    }
}

pub(super) async fn read_users(
    state: State<AppState>,
    caller: Caller,
    context: ConsoleContext,
    search: ValidQuery<UserSearch>,
) -> ApiResult<Response> {
    let Json(found) = list_users(state, caller, search).await?;
    let template = UsersTemplate {
        may_write: context.has_permission(Permission::UsersWrite),
        page: context,
        roles: Role::ALL,
        users: found.data,
        pagination: found.pagination,
    };
    Ok(page(StatusCode::OK, &template))
}

#[derive(Template)]
#[template(path = "console/new_user.html")]
struct NewUserTemplate {
    page: ConsoleContext,
    roles: &'static [Role],
}

pub(super) async fn read_new_user(context: ConsoleContext) -> Response {
    page(StatusCode::OK, &NewUserTemplate { page: context, roles: Role::ALL })
}

#[derive(Template)]
#[template(path = "console/user.html")]
struct UserTemplate {
    page: ConsoleContext,
    roles: &'static [Role],
    user: UserBody,
    is_service: bool,
    /// Whether this is the caller's own account.
    is_own: bool,
    sessions: Vec<SessionBody>,
    keys: Vec<ApiKeyBody>,
    may_write: bool,
    now: UtcTime,
}

impl UserTemplate {
    fn sessions_path(&self) -> String {
        format!("/api/v1/users/{}/sessions", self.user.id)
    }

    fn is_expired(&self, key: &ApiKeyBody) -> bool {
        key.expires_at.is_some_and(|at| at <= self.now)
    }
}

pub(super) async fn read_user(
    state: State<AppState>,
    caller: Caller,
    context: ConsoleContext,
    PathId(id): PathId<UserId>,
) -> ApiResult<Response> {
    let is_own = caller.user.id == id;
    let Json(found) = read_account(state.clone(), caller.clone(), PathId(id)).await?;
    let is_service = found.user.role.to_string() == Role::Service.to_string();
    // Each kind of account has either API keys or sessions.
    let (mut sessions, mut keys) = (Vec::new(), Vec::new());
    if is_service {
        keys = list_user_keys(state, caller, PathId(id)).await?.0.data;
    } else {
        sessions = list_user_sessions(state, caller, PathId(id)).await?.0.data;
    }
    let template = UserTemplate {
        may_write: context.has_permission(Permission::UsersWrite),
        page: context,
        roles: Role::ALL,
        user: found.user,
        is_service,
        is_own,
        sessions,
        keys,
        now: Utc::now().into(),
    };
    Ok(page(StatusCode::OK, &template))
}

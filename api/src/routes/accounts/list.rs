//! `GET /api/v1/users` and `GET /api/v1/users/{id}`.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::response::ErrorBody;
use crate::extract::path_id::PathId;
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::routes::accounts::body::{UserBody, UserResponse};
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::parse_role;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, UserFilter, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// Accounts of a page, unless search otherwise, and at most.
const DEFAULT_PER_PAGE: i64 = 20;
const MAX_PER_PAGE: i64 = 100;
/// The last page that can be search for: nobody leafs so far, and the database would count up to it.
const MAX_PAGE: i64 = 100_000;

/// One page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserListResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest first.
    data: Vec<UserBody>,
    /// Which page this is.
    pagination: UserPagination,
}

/// Which page of how many.
#[derive(Debug, Serialize, ToSchema)]
struct UserPagination {
    /// From 1.
    #[schema(example = 1)]
    page: i64,
    /// Most accounts of one page.
    #[schema(example = 20)]
    per_page: i64,
    /// How many match in all.
    #[schema(example = 42)]
    total: i64,
}

/// Which accounts, and which page of them.
pub(crate) struct UserSearch {
    filter: UserFilter,
    page: i64,
    per_page: i64,
}

impl FromParameters for UserSearch {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut number = |name: &'static str, default, max| {
            let read = parameters.read(name, "number_invalid", |text| {
                let number = text.parse().ok().filter(|number| (1..=max).contains(number));
                number.ok_or_else(|| format!("{name} must be a whole number from 1 to {max}"))
            });
            read.unwrap_or(default)
        };
        let page = number("page", 1, MAX_PAGE);
        let per_page = number("per_page", DEFAULT_PER_PAGE, MAX_PER_PAGE);
        let filter = UserFilter {
            search: parameters.take("search"),
            role: parameters.read("role", "role_invalid", parse_role),
            disabled: parameters.read("disabled", "flag_invalid", |text| {
                text.parse().map_err(|_| "disabled must be true or false".to_owned())
            }),
        };
        Self { filter, page, per_page }
    }
}

/// Lists accounts.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    params(
        ("search" = Option<String>, Query, description = "Part of the address or of the name."),
        ("role" = Option<String>, Query, description = "What they are for."),
        ("disabled" = Option<bool>, Query, description = "Only disabled ones, or only enabled ones."),
        ("page" = Option<i64>, Query, description = "From 1."),
        ("per_page" = Option<i64>, Query, description = "1 to 100; 20 if missing."),
    ),
    responses(
        (status = 200, description = "The newest first.", body = UserListResponse),
        (status = 400, description = "`invalid_query` (lists every fault)", body = ErrorBody),
    ),
)]
pub(crate) async fn list_users(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(search): ValidQuery<UserSearch>,
) -> ApiResult<Json<UserListResponse>> {
    let UserSearch { filter, page, per_page } = search;
    let found = state.app.store.users(&filter, (page - 1) * per_page, per_page).await?;
    let mut entry =
        caller.audit_entry(Action::UsersView, ObjectKind::Service, "").with("page", page);
    if let Some(search) = filter.search {
        entry = entry.with("search", search);
    }
    if let Some(role) = filter.role {
        entry = entry.with("role", role.to_string());
    }
    if let Some(disabled) = filter.disabled {
        entry = entry.with("disabled", disabled);
    }
    state.app.store.append_audit_entry(&entry).await?;
    let data = found.users.into_iter().map(UserBody::from).collect();
    let pagination = UserPagination { page, per_page, total: found.total };
    Ok(Json(UserListResponse { success: true, data, pagination }))
}

/// Reads an account.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "The account.", body = UserResponse),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn read_user(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<UserResponse>> {
    let user = find_user(&state, &caller, Action::UsersView, id).await?;
    state
        .app
        .store
        .append_audit_entry(&caller.audit_entry(Action::UsersView, ObjectKind::User, user.id))
        .await?;
    Ok(Json(user.into()))
}

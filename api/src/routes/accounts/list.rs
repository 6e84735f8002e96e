use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::field_errors::FieldErrorCode;
use crate::extract::path_id::PathId;
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::openapi::names::AccountRole;
use crate::routes::accounts::body::{UserBody, UserResponse};
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::parse_role;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, UserFilter, UserId};
use serde::Serialize;
use utoipa::openapi::path::Parameter;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_PER_PAGE: i64 = 20;
const MAX_PER_PAGE: i64 = 100;
/// The page number is limited because the database has to read all preceding pages.
const MAX_PAGE: i64 = 100_000;

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserListResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The accounts, newest first.
    pub(crate) data: Vec<UserBody>,
    /// Position of the page in the list.
    pub(crate) pagination: UserPagination,
}

/// Position of a page in the list of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserPagination {
    /// Page number, starting at 1.
    #[schema(example = 1)]
    pub(crate) page: i64,
    /// Number of accounts per page.
    #[schema(example = 20)]
    pub(crate) per_page: i64,
    /// Number of matching accounts.
    #[schema(example = 42)]
    pub(crate) total: i64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `UserSearch`")]
struct UserQuery {
    /// Text to find in the e-mail address or the name.
    search: Option<String>,
    /// Role of the accounts.
    role: Option<AccountRole>,
    /// `true` for disabled accounts only, `false` for enabled accounts only.
    disabled: Option<bool>,
    /// Page number, starting at 1.
    page: Option<i64>,
    /// Number of accounts per page, 1 to 100. Default: 20.
    per_page: Option<i64>,
}

pub(crate) struct UserSearch {
    filter: UserFilter,
    page: i64,
    per_page: i64,
}

impl FromParameters for UserSearch {
    fn parameters() -> Vec<Parameter> {
        UserQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut number = |name: &'static str, default, max| {
            let read = parameters.read(name, FieldErrorCode::NumberInvalid, |text| {
                let number = text.parse().ok().filter(|number| (1..=max).contains(number));
                number.ok_or_else(|| format!("{name} must be a whole number from 1 to {max}"))
            });
            read.unwrap_or(default)
        };
        let page = number("page", 1, MAX_PAGE);
        let per_page = number("per_page", DEFAULT_PER_PAGE, MAX_PER_PAGE);
        let filter = UserFilter {
            search: parameters.take("search"),
            role: parameters.read("role", FieldErrorCode::RoleInvalid, parse_role),
            disabled: parameters.read("disabled", FieldErrorCode::FlagInvalid, |text| {
                text.parse().map_err(|_| "disabled must be true or false".to_owned())
            }),
        };
        Self { filter, page, per_page }
    }
}

/// List accounts
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "users",
    responses((status = 200, description = "A page of accounts.", body = UserListResponse)),
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

/// Get an account
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    responses((status = 200, description = "The account.", body = UserResponse)),
)]
pub(crate) async fn read_user(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<UserResponse>> {
    let user = find_user(&state, &caller, Action::UsersView, id).await?;
    let entry = caller.audit_entry(Action::UsersView, ObjectKind::User, user.id);
    state.app.store.append_audit_entry(&entry).await?;
    Ok(Json(user.into()))
}

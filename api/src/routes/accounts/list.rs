//! `GET /api/v1/users` and `GET /api/v1/users/{id}`.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::answer::ErrorBody;
use crate::extract::named::Named;
use crate::extract::query::{Asked, FromParameters, Parameters};
use crate::routes::accounts::body::{UserAnswer, UserBody};
use crate::routes::accounts::draft::role;
use crate::routes::accounts::existing;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, UserFilter, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// Accounts of a page, unless asked otherwise, and at most.
const USUAL_PAGE: i64 = 20;
const LARGEST_PAGE: i64 = 100;
/// The last page that can be asked for: nobody leafs so far, and the database would count up to it.
const LAST_PAGE: i64 = 100_000;

/// One page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserList {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest first.
    data: Vec<UserBody>,
    /// Which page this is.
    pagination: Pagination,
}

/// Which page of how many.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserPagination)]
struct Pagination {
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
pub(crate) struct AskedUsers {
    filter: UserFilter,
    page: i64,
    per_page: i64,
}

impl FromParameters for AskedUsers {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut number = |name: &'static str, usual, most| {
            let read = parameters.read(name, "number_invalid", |text| {
                let number = text.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| format!("{name} must be a whole number from 1 to {most}"))
            });
            read.unwrap_or(usual)
        };
        let page = number("page", 1, LAST_PAGE);
        let per_page = number("per_page", USUAL_PAGE, LARGEST_PAGE);
        let filter = UserFilter {
            search: parameters.take("search"),
            role: parameters.read("role", "role_invalid", role),
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
    operation_id = "list_users",
    params(
        ("search" = Option<String>, Query, description = "Part of the address or of the name."),
        ("role" = Option<String>, Query, description = "What they are for."),
        ("disabled" = Option<bool>, Query, description = "Only disabled ones, or only enabled ones."),
        ("page" = Option<i64>, Query, description = "From 1."),
        ("per_page" = Option<i64>, Query, description = "1 to 100; 20 if missing."),
    ),
    responses(
        (status = 200, description = "The newest first.", body = UserList),
        (status = 400, description = "`invalid_query` (lists every fault)", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Asked(asked): Asked<AskedUsers>,
) -> ApiResult<Json<UserList>> {
    let AskedUsers { filter, page, per_page } = asked;
    let found = state.app.store.users(&filter, (page - 1) * per_page, per_page).await?;
    let mut line = caller.did(Action::UsersView, ObjectKind::Service, "").with("page", page);
    if let Some(search) = filter.search {
        line = line.with("search", search);
    }
    if let Some(role) = filter.role {
        line = line.with("role", role.to_string());
    }
    if let Some(disabled) = filter.disabled {
        line = line.with("disabled", disabled);
    }
    state.app.store.audit(&line).await?;
    let data = found.users.into_iter().map(UserBody::from).collect();
    let pagination = Pagination { page, per_page, total: found.total };
    Ok(Json(UserList { success: true, data, pagination }))
}

/// Reads an account.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "users",
    operation_id = "read_user",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "The account.", body = UserAnswer),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<UserId>,
) -> ApiResult<Json<UserAnswer>> {
    let user = existing(&state, &caller, Action::UsersView, id).await?;
    state.app.store.audit(&caller.did(Action::UsersView, ObjectKind::User, user.id)).await?;
    Ok(Json(user.into()))
}

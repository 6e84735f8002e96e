//! `GET /api/v1/users` and `GET /api/v1/users/{id}`.

use super::body::{UserAnswer, UserBody};
use super::draft::Faults;
use super::named;
use crate::app::AppState;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, ErrorBody};
use axum::Json;
use axum::extract::{Path, Query, State};
use diagflow_store::{Action, ObjectKind, UserFilter};
use serde::Serialize;
use std::collections::HashMap;
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

struct Asked {
    filter: UserFilter,
    page: i64,
    per_page: i64,
}

impl Asked {
    fn of(given: &HashMap<String, String>) -> ApiResult<Self> {
        let mut faults = Faults::default();
        let number = |name: &str, usual: i64, most: i64, faults: &mut Faults| {
            let text = given.get(name).map(String::as_str).filter(|text| !text.is_empty());
            let read = text.map_or(Some(usual), |text| text.parse().ok());
            read.filter(|number| (1..=most).contains(number)).unwrap_or_else(|| {
                let message = format!("{name} must be a whole number from 1 to {most}");
                faults.add(name, "number_invalid", message);
                usual
            })
        };
        let page = number("page", 1, LAST_PAGE, &mut faults);
        let per_page = number("per_page", USUAL_PAGE, LARGEST_PAGE, &mut faults);
        let text = |name: &str| given.get(name).filter(|text| !text.is_empty());
        let role = text("role").and_then(|text| faults.role(text));
        let disabled = match text("disabled").map(String::as_str) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => {
                faults.add("disabled", "flag_invalid", "disabled must be true or false");
                None
            }
            None => None,
        };
        let faults = faults.into_inner();
        if !faults.is_empty() {
            return Err(ApiError::InvalidInput(faults));
        }
        let search = text("search").cloned();
        Ok(Self { filter: UserFilter { search, role, disabled }, page, per_page })
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
        (status = 400, description = "`invalid_input`", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(given): Query<HashMap<String, String>>,
) -> ApiResult<Json<UserList>> {
    let Asked { filter, page, per_page } = Asked::of(&given)?;
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
    Path(id): Path<String>,
) -> ApiResult<Json<UserAnswer>> {
    let user = named(&state, &caller, Action::UsersView, &id).await?;
    state.app.store.audit(&caller.did(Action::UsersView, ObjectKind::User, user.id)).await?;
    Ok(Json(user.into()))
}

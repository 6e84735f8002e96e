//! `PUT` and `DELETE /api/v1/users/{id}`: accounts are changed and disabled.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::field_errors::FieldError;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::routes::accounts::body::UserResponse;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use diagflow_store::{
    Action, NewAuditEntry, ObjectKind, User, UserChange, UserChangeOutcome, UserId,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// What is to be changed about an account. What is missing stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserUpdateRequest {
    /// What somebody signs in with; kept in lower case.
    email: Option<String>,
    /// What to call them; at most 200 characters.
    name: Option<String>,
    /// `admin`, `operator`, `clinician`, `institution`, `patient` or `service`.
    role: Option<String>,
    /// Whether it may be used. `false` ends its sessions.
    enabled: Option<bool>,
    /// Another password; it ends the account's sessions.
    #[schema(format = "password")]
    password: Option<String>,
}

/// Changes an account.
///
/// Disabling it, setting its password, and making it one of a program or of a person end its sessions. The
/// last admin that is enabled stays one.
#[utoipa::path(
    put,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    request_body = UserUpdateRequest,
    responses(
        (status = 200, description = "It is so now.", body = UserResponse),
        (status = 400, description = "`invalid_input` (lists every password_error), `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`email_taken`, `last_admin`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
    ),
)]
pub(crate) async fn update_user(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
    Body(given): Body<UserUpdateRequest>,
) -> ApiResult<Json<UserResponse>> {
    let user = find_user(&state, &caller, Action::UserUpdate, id).await?;
    let change = validate(&state, &user, &given).await.map_err(ApiError::InvalidInput)?;
    let entry = update_entry(&caller, user.id, &change);
    Ok(Json(apply_update(&state, user.id, &change, entry).await?.into()))
}

async fn validate(
    state: &AppState,
    user: &User,
    given: &UserUpdateRequest,
) -> Result<UserChange, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let email = given.email.as_deref().and_then(|text| errors.email(text));
    let name = given.name.as_deref().and_then(|text| errors.name(text));
    let role = given.role.as_deref().and_then(|text| errors.role(text));
    let will_be = role.unwrap_or(user.role);
    let address = given.email.as_deref().unwrap_or(user.email.as_str());
    let called = name.as_deref().unwrap_or(&user.name);
    let new = given.password.as_deref();
    let password = errors.password(&state.passwords, new, Some(will_be), address, called).await;
    let errors = errors.into_inner();
    if !errors.is_empty() {
        return Err(errors);
    }
    let password_hash = match password {
        Some(password) => Some(state.passwords.hash(password).await),
        None => None,
    };
    let disabled = given.enabled.map(|enabled| !enabled);
    Ok(UserChange { email, name, role, disabled, password_hash })
}

/// The entry of a change that is asked for: which fields, and the values of those that decide what somebody may
/// do.
fn update_entry(caller: &Caller, user: UserId, change: &UserChange) -> NewAuditEntry {
    let action = match change.disabled {
        Some(true) => Action::UserDisable,
        _ => Action::UserUpdate,
    };
    let mut entry = caller.audit_entry(action, ObjectKind::User, user);
    let fields = [
        ("email", change.email.is_some()),
        ("name", change.name.is_some()),
        ("role", change.role.is_some()),
        ("enabled", change.disabled.is_some()),
        ("password", change.password_hash.is_some()),
    ];
    let fields = fields.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    entry = entry.with("fields", fields.collect::<Vec<_>>());
    if let Some(email) = &change.email {
        entry = entry.with("email", email.as_str());
    }
    if let Some(role) = change.role {
        entry = entry.with("role", role.to_string());
    }
    if let Some(disabled) = change.disabled {
        entry = entry.with("enabled", !disabled);
    }
    entry
}

async fn apply_update(
    state: &AppState,
    id: UserId,
    change: &UserChange,
    entry: NewAuditEntry,
) -> ApiResult<User> {
    let password_error = |code, message: &str| {
        let (field, message) = ("password".to_owned(), message.to_owned());
        ApiError::InvalidInput(vec![FieldError { field, code, message }])
    };
    let refusal = match state.app.store.change_user(id, change, &entry).await? {
        UserChangeOutcome::Applied(user) => return Ok(user),
        UserChangeOutcome::NotFound => ApiError::NotFound,
        UserChangeOutcome::LastAdmin => ApiError::LastAdmin,
        UserChangeOutcome::EmailTaken => ApiError::EmailTaken,
        UserChangeOutcome::PasswordMissing => {
            password_error("password_required", "Password is required")
        }
        UserChangeOutcome::PasswordForbidden => {
            password_error("password_forbidden", "A program has API keys instead of a password")
        }
    };
    refused(state, entry, refusal).await
}

/// Disables an account, and ends its sessions. What it did keeps its name.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "It is disabled.", body = UserResponse),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`last_admin`", body = ErrorBody),
    ),
)]
pub(crate) async fn disable_user(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<UserResponse>> {
    let user = find_user(&state, &caller, Action::UserDisable, id).await?;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let entry = update_entry(&caller, user.id, &change);
    Ok(Json(apply_update(&state, user.id, &change, entry).await?.into()))
}

//! `PUT` and `DELETE /api/v1/users/{id}`: accounts are changed and disabled.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::answer::ErrorBody;
use crate::error::faults::Fault;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::named::Named;
use crate::routes::accounts::body::UserAnswer;
use crate::routes::accounts::draft::Faults;
use crate::routes::accounts::existing;
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, AuditEntry, ObjectKind, User, UserChange, UserChanged, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

/// What is to be changed about an account. What is missing stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserEdit {
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
    operation_id = "update_user",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    request_body = UserEdit,
    responses(
        (status = 200, description = "It is so now.", body = UserAnswer),
        (status = 400, description = "`invalid_input` (lists every fault), `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`email_taken`, `last_admin`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
    ),
)]
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<UserId>,
    Body(given): Body<UserEdit>,
) -> ApiResult<Json<UserAnswer>> {
    let user = existing(&state, &caller, Action::UserUpdate, id).await?;
    let change = checked_edit(&state, &user, &given).await.map_err(ApiError::InvalidInput)?;
    let line = told(&caller, user.id, &change);
    Ok(Json(changed(&state, user.id, &change, line).await?.into()))
}

async fn checked_edit(
    state: &AppState,
    user: &User,
    given: &UserEdit,
) -> Result<UserChange, Vec<Fault>> {
    let mut faults = Faults::default();
    let email = given.email.as_deref().and_then(|text| faults.email(text));
    let name = given.name.as_deref().and_then(|text| faults.name(text));
    let role = given.role.as_deref().and_then(|text| faults.role(text));
    let will_be = role.unwrap_or(user.role);
    let address = given.email.as_deref().unwrap_or(user.email.as_str());
    let called = name.as_deref().unwrap_or(&user.name);
    let new = given.password.as_deref();
    let password = faults.password(&state.passwords, new, Some(will_be), address, called).await;
    let faults = faults.into_inner();
    if !faults.is_empty() {
        return Err(faults);
    }
    let password_hash = match password {
        Some(password) => Some(state.passwords.hash(password).await),
        None => None,
    };
    let disabled = given.enabled.map(|enabled| !enabled);
    Ok(UserChange { email, name, role, disabled, password_hash })
}

/// The line of a change that is asked for: which fields, and the values of those that decide what somebody may
/// do.
fn told(caller: &Caller, user: UserId, change: &UserChange) -> AuditEntry {
    let action = match change.disabled {
        Some(true) => Action::UserDisable,
        _ => Action::UserUpdate,
    };
    let mut line = caller.did(action, ObjectKind::User, user);
    let fields = [
        ("email", change.email.is_some()),
        ("name", change.name.is_some()),
        ("role", change.role.is_some()),
        ("enabled", change.disabled.is_some()),
        ("password", change.password_hash.is_some()),
    ];
    let fields = fields.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    line = line.with("fields", fields.collect::<Vec<_>>());
    if let Some(email) = &change.email {
        line = line.with("email", email.as_str());
    }
    if let Some(role) = change.role {
        line = line.with("role", role.to_string());
    }
    if let Some(disabled) = change.disabled {
        line = line.with("enabled", !disabled);
    }
    line
}

async fn changed(
    state: &AppState,
    id: UserId,
    change: &UserChange,
    line: AuditEntry,
) -> ApiResult<User> {
    let fault = |code, message: &str| {
        let (field, message) = ("password".to_owned(), message.to_owned());
        ApiError::InvalidInput(vec![Fault { field, code, message }])
    };
    let refusal = match state.app.store.change_user(id, change, &line).await? {
        UserChanged::Done(user) => return Ok(user),
        UserChanged::NotFound => ApiError::NotFound,
        UserChanged::LastAdmin => ApiError::LastAdmin,
        UserChanged::EmailTaken => ApiError::EmailTaken,
        UserChanged::PasswordMissing => fault("password_required", "Password is required"),
        UserChanged::PasswordForbidden => {
            fault("password_forbidden", "A program has API keys instead of a password")
        }
    };
    refused(state, line, refusal).await
}

/// Disables an account, and ends its sessions. What it did keeps its name.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "users",
    operation_id = "disable_user",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "It is disabled.", body = UserAnswer),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`last_admin`", body = ErrorBody),
    ),
)]
pub(crate) async fn disable(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<UserId>,
) -> ApiResult<Json<UserAnswer>> {
    let user = existing(&state, &caller, Action::UserDisable, id).await?;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let line = told(&caller, user.id, &change);
    Ok(Json(changed(&state, user.id, &change, line).await?.into()))
}

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::openapi::error_responses::errors;
use crate::openapi::names::AccountRole;
use crate::routes::accounts::body::UserResponse;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use axum::Json;
use axum::extract::State;
use diagflow_store::{
    Action, NewAuditEntry, ObjectKind, User, UserChange, UserChangeOutcome, UserId,
};
use futures::future::OptionFuture;
use serde::Deserialize;
use utoipa::ToSchema;

/// Changes to an account. Absent fields are left unchanged.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"name": "Ana López"}))]
pub(crate) struct UserUpdateRequest {
    /// E-mail address used to sign in. It is stored in lower case.
    email: Option<String>,
    /// Name of the person or program, at most 200 characters.
    name: Option<String>,
    /// Role of the account.
    #[schema(value_type = Option<AccountRole>)]
    role: Option<String>,
    /// Whether the account is enabled. Disabling an account ends its sessions.
    enabled: Option<bool>,
    /// New password, 12 to 128 characters long and not easy to guess. Setting a new password ends the account's
    /// sessions.
    #[schema(format = "password")]
    password: Option<String>,
}

errors!(UpdateUserErrors: EmailTaken, LastAdmin);

/// Update an account
///
/// The account's sessions end if the account is disabled, gets a new password, or changes to or from the `service`
/// role. The last enabled admin cannot be disabled or assigned another role.
#[utoipa::path(
    put,
    path = "/api/v1/users/{id}",
    tag = "users",
    responses(
        (status = 200, description = "The updated account.", body = UserResponse),
        UpdateUserErrors,
    ),
)]
pub(crate) async fn update_user(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
    Body(request): Body<UserUpdateRequest>,
) -> ApiResult<Json<UserResponse>> {
    let user = find_user(&state, &caller, Action::UserUpdate, id).await?;
    let change = validate(&state, &user, &request).await.map_err(ApiError::InvalidInput)?;
    let entry = update_entry(&caller, user.id, &change);
    Ok(Json(apply_update(&state, user.id, &change, entry).await?.into()))
}

async fn validate(
    state: &AppState,
    user: &User,
    request: &UserUpdateRequest,
) -> Result<UserChange, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let email = request.email.as_deref().and_then(|text| errors.email(text));
    let name = request.name.as_deref().and_then(|text| errors.name(text));
    let role = request.role.as_deref().and_then(|text| errors.role(text));
    let new_role = role.unwrap_or(user.role);
    let address = request.email.as_deref().unwrap_or(user.email.as_str());
    let display_name = name.as_deref().unwrap_or(&user.name);
    let new = request.password.as_deref();
    let password =
        errors.password(&state.passwords, new, Some(new_role), address, display_name).await;
    let errors = errors.into_inner();
    if !errors.is_empty() {
        return Err(errors);
    }
    let password_hash = OptionFuture::from(password.map(|new| state.passwords.hash(new))).await;
    let disabled = request.enabled.map(|enabled| !enabled);
    Ok(UserChange { email, name, role, disabled, password_hash })
}

/// Records the names of the changed fields, and the new values of those that affect access.
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
    let error = match state.app.store.change_user(id, change, &entry).await? {
        UserChangeOutcome::Applied(user) => return Ok(user),
        UserChangeOutcome::NotFound => ApiError::NotFound,
        UserChangeOutcome::LastAdmin => ApiError::LastAdmin,
        UserChangeOutcome::EmailTaken => ApiError::EmailTaken,
        UserChangeOutcome::PasswordMissing => {
            password_error(FieldErrorCode::PasswordRequired, "Password is required")
        }
        UserChangeOutcome::PasswordForbidden => password_error(
            FieldErrorCode::PasswordForbidden,
            "Service accounts use API keys instead of a password",
        ),
    };
    Err(refuse(state, entry, error).await)
}

errors!(DisableUserErrors: LastAdmin);

/// Disable an account
///
/// Disabling an account ends its sessions. The account's name remains in the audit log.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "users",
    responses(
        (status = 200, description = "The disabled account.", body = UserResponse),
        DisableUserErrors,
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

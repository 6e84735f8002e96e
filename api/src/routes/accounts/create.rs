use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::openapi::error_responses::errors;
use crate::openapi::names::AccountRole;
use crate::routes::accounts::body::UserResponse;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use diagflow_store::{Action, NewUser, ObjectKind, Role, UserId};
use futures::future::OptionFuture;
use serde::Deserialize;
use utoipa::ToSchema;

/// A new account.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "export@example.org", "name": "Nightly export", "role": "service"}))]
pub(crate) struct NewUserRequest {
    /// E-mail address used to sign in. It is stored in lower case.
    #[schema(value_type = String, format = "email", example = "ana@example.org")]
    email: Option<String>,
    /// Name of the person or program, at most 200 characters.
    #[schema(value_type = String, max_length = 200, example = "Ana López")]
    name: Option<String>,
    /// Role of the account.
    #[schema(value_type = AccountRole)]
    role: Option<String>,
    /// Password, 12 to 128 characters long and not easy to guess. Required for all roles except `service`, which must
    /// not have one.
    #[schema(format = "password")]
    password: Option<String>,
}

errors!(CreateUserErrors: EmailTaken);

/// Create an account
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    responses(
        (status = 201, description = "The new account.", body = UserResponse, headers(
            ("Location" = String, description = "URL of the account."),
        )),
        CreateUserErrors,
    ),
)]
pub(crate) async fn create_user(
    State(state): State<AppState>,
    caller: Caller,
    Body(request): Body<NewUserRequest>,
) -> ApiResult<(StatusCode, [(HeaderName, String); 1], Json<UserResponse>)> {
    let new = validate(&state, &request).await.map_err(ApiError::InvalidInput)?;
    let entry = caller.audit_entry(Action::UserCreate, ObjectKind::User, new.id);
    let entry = entry.with("role", new.role.to_string());
    if !state.app.store.create_user(&new, &entry).await? {
        return Err(refuse(&state, entry, ApiError::EmailTaken).await);
    }
    let user = find_user(&state, &caller, Action::UserCreate, new.id).await?;
    let location = [(LOCATION, state.app.settings.address(&format!("/api/v1/users/{}", user.id)))];
    Ok((StatusCode::CREATED, location, Json(user.into())))
}

async fn validate(state: &AppState, request: &NewUserRequest) -> Result<NewUser, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let text = |field: &Option<String>| field.clone().filter(|text| !text.trim().is_empty());
    let email = match text(&request.email) {
        Some(text) => errors.email(&text),
        None => {
            errors.required("email", FieldErrorCode::EmailRequired);
            None
        }
    };
    let name = errors.name(request.name.as_deref().unwrap_or_default());
    let role = match text(&request.role) {
        Some(text) => errors.role(&text),
        None => {
            errors.required("role", FieldErrorCode::RoleRequired);
            None
        }
    };
    let address = request.email.as_deref().unwrap_or_default();
    let display_name = name.as_deref().unwrap_or_default();
    let password = request.password.as_deref();
    if password.is_none() && role != Some(Role::Service) {
        errors.required("password", FieldErrorCode::PasswordRequired);
    }
    let password = errors.password(&state.passwords, password, role, address, display_name).await;
    let errors = errors.into_inner();
    let (Some(email), Some(name), Some(role), true) = (email, name, role, errors.is_empty()) else {
        return Err(errors);
    };
    let password_hash = OptionFuture::from(password.map(|new| state.passwords.hash(new))).await;
    Ok(NewUser { id: UserId::new(), email, name, role, password_hash })
}

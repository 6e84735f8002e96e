//! `POST /api/v1/users`: makes an account.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::field_errors::FieldError;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::routes::accounts::body::UserResponse;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use diagflow_store::{Action, NewUser, ObjectKind, Role, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

/// An account that is to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewUserRequest {
    /// What somebody signs in with; kept in lower case.
    #[schema(required, example = "ana@example.org")]
    email: Option<String>,
    /// What to call them; at most 200 characters.
    #[schema(required, example = "Ana López")]
    name: Option<String>,
    /// `admin`, `operator`, `clinician`, `institution`, `patient` or `service`.
    #[schema(required, example = "operator")]
    role: Option<String>,
    /// 12 to 128 characters, none that is easy to guess. Not for `service`, required for all others.
    #[schema(format = "password")]
    password: Option<String>,
}

/// Makes an account.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "users",
    request_body = NewUserRequest,
    responses(
        (status = 201, description = "It is made.", body = UserResponse, headers(
            ("Location" = String, description = "Where it is read."),
        )),
        (status = 400, description = "`invalid_input` (lists every fault), `invalid_json`", body = ErrorBody),
        (status = 409, description = "`email_taken`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
    ),
)]
pub(crate) async fn create_user(
    State(state): State<AppState>,
    caller: Caller,
    Body(given): Body<NewUserRequest>,
) -> ApiResult<(StatusCode, [(HeaderName, String); 1], Json<UserResponse>)> {
    let new = validate(&state, &given).await.map_err(ApiError::InvalidInput)?;
    let entry = caller.audit_entry(Action::UserCreate, ObjectKind::User, new.id);
    let entry = entry.with("role", new.role.to_string());
    if !state.app.store.create_user(&new, &entry).await? {
        return refused(&state, entry, ApiError::EmailTaken).await;
    }
    let user = find_user(&state, &caller, Action::UserCreate, new.id).await?;
    let location = [(LOCATION, state.app.settings.address(&format!("/api/v1/users/{}", user.id)))];
    Ok((StatusCode::CREATED, location, Json(user.into())))
}

async fn validate(state: &AppState, given: &NewUserRequest) -> Result<NewUser, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let text = |field: &Option<String>| field.clone().filter(|text| !text.trim().is_empty());
    let email = match text(&given.email) {
        Some(text) => errors.email(&text),
        None => {
            errors.required("email", "email_required");
            None
        }
    };
    let name = errors.name(given.name.as_deref().unwrap_or_default());
    let role = match text(&given.role) {
        Some(text) => errors.role(&text),
        None => {
            errors.required("role", "role_required");
            None
        }
    };
    let address = given.email.as_deref().unwrap_or_default();
    let called = name.as_deref().unwrap_or_default();
    let given = given.password.as_deref();
    if given.is_none() && role != Some(Role::Service) {
        errors.required("password", "password_required");
    }
    let password = errors.password(&state.passwords, given, role, address, called).await;
    let errors = errors.into_inner();
    let (Some(email), Some(name), Some(role), true) = (email, name, role, errors.is_empty()) else {
        return Err(errors);
    };
    let password_hash = match password {
        Some(password) => Some(state.passwords.hash(password).await),
        None => None,
    };
    Ok(NewUser { id: UserId::new(), email, name, role, password_hash })
}

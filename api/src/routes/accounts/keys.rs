//! `/api/v1/users/{id}/keys`: the API keys of programs.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::credentials::API_KEY_PREFIX;
use crate::auth::random_secret::RandomSecret;
use crate::error::field_errors::FieldError;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::extract::time_format::rfc3339;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use chrono::{DateTime, NaiveDateTime, Utc};
use diagflow_store::{Action, ApiKey, ApiKeyId, NewApiKey, ObjectKind, Role, User, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An API key that is to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewKeyRequest {
    /// What to call it; at most 200 characters.
    #[schema(required, example = "nightly export")]
    name: Option<String>,
    /// When it is no longer good (RFC 3339); for ever if missing.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// API keys of a program.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyListResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest first; also those that are no longer good.
    data: Vec<ApiKeyBody>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyBody {
    /// Its name in the records; part of the key itself.
    #[schema(value_type = String, format = "uuid")]
    id: ApiKeyId,
    /// What it is called.
    name: String,
    /// When it was made (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was used last (UTC), to the minute.
    #[schema(format = "date-time")]
    used_at: Option<String>,
    /// When it is no longer good (UTC).
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// When it was revoked (UTC).
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            created_at: rfc3339(key.created_at),
            used_at: key.used_at.map(rfc3339),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

/// A new API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewKeyResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Brought along as `Authorization: Bearer`. Keep it: it is not shown again.
    api_key: String,
    /// The key as it is listed.
    key: ApiKeyBody,
}

/// The enabled account of a program.
fn require_service_account(user: &User) -> ApiResult<()> {
    let is_program = user.role == Role::Service && user.disabled_at.is_none();
    if is_program { Ok(()) } else { Err(ApiError::NotAServiceAccount) }
}

/// Lists the API keys of a program.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/keys",
    tag = "users",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "The keys, without their secrets.", body = ApiKeyListResponse),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn list_user_keys(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<ApiKeyListResponse>> {
    let user = find_user(&state, &caller, Action::KeysView, id).await?;
    let keys = state.app.store.user_api_keys(user.id).await?;
    state
        .app
        .store
        .append_audit_entry(&caller.audit_entry(Action::KeysView, ObjectKind::User, user.id))
        .await?;
    Ok(Json(ApiKeyListResponse {
        success: true,
        data: keys.into_iter().map(ApiKeyBody::from).collect(),
    }))
}

/// Makes an API key for a program. It is shown once.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/keys",
    tag = "users",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    request_body = NewKeyRequest,
    responses(
        (status = 201, description = "The key.", body = NewKeyResponse),
        (status = 400, description = "`invalid_input` (lists every fault), `invalid_json`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`not_a_service_account`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
    ),
)]
pub(crate) async fn create_user_key(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
    Body(given): Body<NewKeyRequest>,
) -> ApiResult<(StatusCode, [(HeaderName, &'static str); 1], Json<NewKeyResponse>)> {
    let user = find_user(&state, &caller, Action::KeyCreate, id).await?;
    let (name, expires_at) = validate(&given).map_err(ApiError::InvalidInput)?;
    let (id, secret) = (ApiKeyId::new(), RandomSecret::new());
    let entry = caller.audit_entry(Action::KeyCreate, ObjectKind::ApiKey, id);
    let entry = entry.with("user", user.id.to_string());
    if let Err(refusal) = require_service_account(&user) {
        return refused(&state, entry, refusal).await;
    }
    let new = NewApiKey { id, user: user.id, name, secret: secret.digest(), expires_at };
    let Some(key) = state.app.store.create_api_key(&new, &entry).await? else {
        return refused(&state, entry, ApiError::NotAServiceAccount).await;
    };
    let api_key = format!("{API_KEY_PREFIX}{id}_{}", secret.reveal());
    let body = NewKeyResponse { success: true, api_key, key: key.into() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)))
}

fn validate(given: &NewKeyRequest) -> Result<(String, Option<NaiveDateTime>), Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let name = errors.name(given.name.as_deref().unwrap_or_default());
    let expires_at = given.expires_at.as_deref().map(DateTime::parse_from_rfc3339);
    let expires_at = match expires_at.transpose() {
        Ok(Some(at)) if at <= Utc::now() => {
            errors.add("expires_at", "time_in_the_past", "expires_at must be in the future");
            None
        }
        Ok(at) => at.map(|at| at.naive_utc()),
        Err(_) => {
            let message = "expires_at must be a time, such as 2026-11-21T12:00:00Z";
            errors.add("expires_at", "time_invalid", message);
            None
        }
    };
    match (name, errors.into_inner()) {
        (Some(name), errors) if errors.is_empty() => Ok((name, expires_at)),
        (_, errors) => Err(errors),
    }
}

/// Revokes an API key, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/keys/{key_id}",
    tag = "users",
    params(
        ("id" = String, Path, description = "The account's `id`.", format = "uuid"),
        ("key_id" = String, Path, description = "The key's `id`.", format = "uuid"),
    ),
    responses(
        (status = 204, description = "It is good no more."),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke_user_key(
    State(state): State<AppState>,
    caller: Caller,
    PathId((id, key)): PathId<(UserId, ApiKeyId)>,
) -> ApiResult<StatusCode> {
    let user = find_user(&state, &caller, Action::KeyRevoke, id).await?;
    let entry = caller.audit_entry(Action::KeyRevoke, ObjectKind::ApiKey, key);
    let entry = entry.with("user", user.id.to_string());
    if !state.app.store.revoke_api_key(user.id, key, &entry).await? {
        return refused(&state, entry, ApiError::NotFound).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

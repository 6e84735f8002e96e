use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::credentials::API_KEY_PREFIX;
use crate::auth::random_secret::RandomSecret;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::openapi::error_responses::errors;
use crate::routes::accounts::find_user;
use crate::routes::accounts::validation::FieldErrors;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use chrono::{DateTime, Utc};
use diagflow_store::{
    Action, ApiKey, ApiKeyId, NewApiKey, ObjectKind, Role, User, UserId, UtcTime,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new API key.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"name": "nightly export"}))]
pub(crate) struct NewKeyRequest {
    /// Name of the key, at most 200 characters.
    #[schema(value_type = String, max_length = 200, example = "nightly export")]
    name: Option<String>,
    /// Expiry time in RFC 3339 format. By default, the key never expires.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// API keys of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyListResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The keys, newest first, including expired and revoked ones.
    pub(crate) data: Vec<ApiKeyBody>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyBody {
    /// Id of the key, which is also part of `api_key`.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: ApiKeyId,
    /// Name of the key.
    pub(crate) name: String,
    /// Time of creation.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time of the last use, accurate to the minute.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) used_at: Option<UtcTime>,
    /// Time of expiry.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) expires_at: Option<UtcTime>,
    /// Time of revocation.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) revoked_at: Option<UtcTime>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            created_at: key.created_at,
            used_at: key.used_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A response that contains a new API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewKeyResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// API key for the `Authorization: Bearer` header. Store the key now, because it is not shown again.
    api_key: String,
    /// The key without its secret.
    key: ApiKeyBody,
}

fn require_service_account(user: &User) -> ApiResult<()> {
    let is_allowed = user.role == Role::Service && user.disabled_at.is_none();
    if is_allowed { Ok(()) } else { Err(ApiError::NotAServiceAccount) }
}

/// List an account's API keys
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/keys",
    tag = "users",
    responses((status = 200, description = "The keys, without their secrets.", body = ApiKeyListResponse)),
)]
pub(crate) async fn list_user_keys(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<ApiKeyListResponse>> {
    let user = find_user(&state, &caller, Action::KeysView, id).await?;
    let keys = state.app.store.user_api_keys(user.id).await?;
    let entry = caller.audit_entry(Action::KeysView, ObjectKind::User, user.id);
    state.app.store.append_audit_entry(&entry).await?;
    let data = keys.into_iter().map(ApiKeyBody::from).collect();
    Ok(Json(ApiKeyListResponse { success: true, data }))
}

errors!(CreateUserKeyErrors: NotAServiceAccount);

/// Create an API key
///
/// The account must be enabled and have the role `service`. The key is shown only in this response.
#[utoipa::path(
    post,
    path = "/api/v1/users/{id}/keys",
    tag = "users",
    responses(
        (status = 201, description = "The new key.", body = NewKeyResponse),
        CreateUserKeyErrors,
    ),
)]
pub(crate) async fn create_user_key(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
    Body(request): Body<NewKeyRequest>,
) -> ApiResult<(StatusCode, [(HeaderName, &'static str); 1], Json<NewKeyResponse>)> {
    let user = find_user(&state, &caller, Action::KeyCreate, id).await?;
    let (name, expires_at) = validate(&request).map_err(ApiError::InvalidInput)?;
    let (id, secret) = (ApiKeyId::new(), RandomSecret::new());
    let entry = caller.audit_entry(Action::KeyCreate, ObjectKind::ApiKey, id);
    let entry = entry.with("user", user.id.to_string());
    if let Err(error) = require_service_account(&user) {
        return Err(refuse(&state, entry, error).await);
    }
    let new = NewApiKey { id, user: user.id, name, secret: secret.digest(), expires_at };
    let Some(key) = state.app.store.create_api_key(&new, &entry).await? else {
        return Err(refuse(&state, entry, ApiError::NotAServiceAccount).await);
    };
    let api_key = format!("{API_KEY_PREFIX}{id}_{}", secret.reveal());
    let body = NewKeyResponse { success: true, api_key, key: key.into() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body)))
}

fn validate(request: &NewKeyRequest) -> Result<(String, Option<UtcTime>), Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let name = errors.name(request.name.as_deref().unwrap_or_default());
    let expires_at = request.expires_at.as_deref().map(DateTime::parse_from_rfc3339);
    let expires_at = match expires_at.transpose() {
        Ok(Some(at)) if at <= Utc::now() => {
            errors.add(
                "expires_at",
                FieldErrorCode::TimeInThePast,
                "expires_at must be in the future",
            );
            None
        }
        Ok(at) => at.map(|at| at.to_utc().into()),
        Err(_) => {
            let message = "expires_at must be an RFC 3339 time, such as 2026-11-21T12:00:00Z";
            errors.add("expires_at", FieldErrorCode::TimeInvalid, message);
            None
        }
    };
    match (name, errors.into_inner()) {
        (Some(name), errors) if errors.is_empty() => Ok((name, expires_at)),
        (_, errors) => Err(errors),
    }
}

/// Revoke an API key
///
/// The key becomes invalid immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/keys/{key_id}",
    tag = "users",
    responses((status = 204, description = "The key is revoked.")),
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
        return Err(refuse(&state, entry, ApiError::NotFound).await);
    }
    Ok(StatusCode::NO_CONTENT)
}

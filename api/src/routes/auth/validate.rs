use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::ApiResult;
use crate::openapi::names::AccountPermission;
use crate::routes::accounts::body::UserBody;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use chrono::DateTime;
use diagflow_store::{SessionId, UtcTime};
use serde::Serialize;
use utoipa::ToSchema;

/// The current session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidateResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The account.
    user: UserBody,
    /// Permissions of the account.
    #[schema(example = json!(["account:self", "submissions:read"]))]
    permissions: Vec<AccountPermission>,
    /// Id of the session.
    #[schema(value_type = String, format = "uuid")]
    session_id: SessionId,
    /// Time at which the access token expires.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    expires_at: Option<UtcTime>,
    /// CSRF token for the `X-CSRF-Token` header, which is required when a request authenticated with a session cookie
    /// changes data.
    csrf_token: String,
}

/// Get the current session
///
/// Returns the account, its permissions and the CSRF token.
#[utoipa::path(
    get,
    path = "/api/v1/auth/validate",
    tag = "sign-in",
    responses((status = 200, description = "The session is valid.", body = ValidateResponse)),
)]
pub(crate) async fn read_session(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<ValidateResponse>)> {
    let session_id = caller.session()?;
    let expires_at =
        caller.presented_token.and_then(|token| DateTime::from_timestamp(token.expires_at, 0));
    let body = ValidateResponse {
        success: true,
        permissions: Permission::of(caller.user.role)
            .iter()
            .copied()
            .map(AccountPermission::from)
            .collect(),
        user: caller.user.into(),
        session_id,
        expires_at: expires_at.map(UtcTime::from),
        csrf_token: state.keys.csrf.token(session_id),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

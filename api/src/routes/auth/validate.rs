//! `GET /api/v1/auth/validate`: who am I?

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::ApiResult;
use crate::extract::time_format::rfc3339;
use crate::routes::accounts::body::UserBody;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use chrono::DateTime;
use diagflow_store::SessionId;
use serde::Serialize;
use utoipa::ToSchema;

/// Who calls, and by which session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidateResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The account.
    user: UserBody,
    /// What it may do.
    #[schema(example = json!(["account:self", "submissions:read"]))]
    permissions: Vec<&'static str>,
    /// The session.
    #[schema(value_type = String, format = "uuid")]
    session_id: SessionId,
    /// Until when the access token is good (UTC).
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// What a page brings along in `X-CSRF-Token` with every change.
    csrf_token: String,
}

/// Tells whose session this is, and what they may do.
#[utoipa::path(
    get,
    path = "/api/v1/auth/validate",
    tag = "sign-in",
    responses((status = 200, description = "It is good.", body = ValidateResponse)),
)]
pub(crate) async fn validate_session(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<ValidateResponse>)> {
    let session_id = caller.session()?;
    let expires =
        caller.presented_token.and_then(|token| DateTime::from_timestamp(token.expires_at, 0));
    let body = ValidateResponse {
        success: true,
        permissions: Permission::of(caller.user.role).iter().map(|it| it.name()).collect(),
        user: caller.user.into(),
        session_id,
        expires_at: expires.map(rfc3339),
        csrf_token: state.keys.csrf.token(session_id),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

//! `POST /api/v1/auth/password`: another password for the account that asks.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::throttle;
use crate::error::field_errors::FieldError;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{Action, NewAuditEntry, NewPassword, ObjectKind, UtcTime};
use serde::Deserialize;
use utoipa::ToSchema;

/// Two passwords.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordChangeRequest {
    /// The one until now.
    #[schema(format = "password")]
    current_password: String,
    /// The one from now on: 12 to 128 characters, none that is easy to guess.
    #[schema(format = "password")]
    new_password: String,
}

/// Sets another password, and ends all other sessions of the account.
///
/// The current password is asked for, and trying to guess it is slowed down as at the sign-in.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password",
    tag = "sign-in",
    request_body = PasswordChangeRequest,
    responses(
        (status = 204, description = "It is set."),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
        (status = 429, description = "`too_many_attempts`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    jar: CookieJar,
    Body(given): Body<PasswordChangeRequest>,
) -> ApiResult<StatusCode> {
    let entry = caller.audit_entry(Action::PasswordChange, ObjectKind::User, caller.user.id);
    let device = device::find(
        &state.app.settings,
        &state.keys.device_cookies,
        &jar,
        caller.user.email.as_str(),
    );
    let refusal = match set_password(&state, &caller, device, &given, &entry).await {
        Ok(()) => return Ok(StatusCode::NO_CONTENT),
        Err(refusal) => refusal,
    };
    if refusal.is_client_error() {
        return Err(refuse(&state, entry, refusal).await);
    }
    Err(refusal)
}

async fn set_password(
    state: &AppState,
    caller: &Caller,
    device: Option<Device>,
    given: &PasswordChangeRequest,
    entry: &NewAuditEntry,
) -> ApiResult<()> {
    let session = caller.session()?;
    let known_since = check_passwords(state, caller, device, given).await?;
    let hash = state.passwords.hash(&given.new_password).await;
    let new = NewPassword { user: caller.user.id, session, known_since, hash };
    let is_set = state.app.store.set_password(&new, entry).await?;
    // What is in the way is what ends sessions: the session's own end, or another new password.
    if is_set { Ok(()) } else { Err(ApiError::SessionEnded) }
}

/// Checks both. Returns since when the current one has been that.
///
/// The new one first: to see that it will not do takes no attempt at the current one.
async fn check_passwords(
    state: &AppState,
    caller: &Caller,
    device: Option<Device>,
    given: &PasswordChangeRequest,
) -> ApiResult<Option<UtcTime>> {
    let user = &caller.user;
    let (email, passwords) = (user.email.as_str(), &state.passwords);
    let field_error = |field: &str, code, message: String| {
        ApiError::InvalidInput(vec![FieldError { field: field.to_owned(), code, message }])
    };
    if let Err(weak) = passwords.check(&given.new_password, email, &user.name).await {
        return Err(field_error("new_password", weak.code(), weak.to_string()));
    }
    let attempt = throttle::begin_attempt(state, &caller.client, email, device).await?;
    let found = state.app.store.user_with_password(email).await?;
    let (found, stored_hash) = found.filter(|(found, _)| found.id == user.id).unzip();
    if !passwords.verify(&given.current_password, stored_hash.flatten()).await {
        let message = "This is not the current password".to_owned();
        return Err(field_error("current_password", "password_wrong", message));
    }
    attempt.succeeded(state).await?;
    if given.current_password == given.new_password {
        let message = "This is the current password".to_owned();
        return Err(field_error("new_password", "password_unchanged", message));
    }
    Ok(found.and_then(|found| found.password_changed_at))
}

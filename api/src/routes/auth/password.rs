use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::throttle;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::openapi::error_responses::errors;
use axum::extract::State;
use axum::http::StatusCode;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{Action, NewAuditEntry, NewPassword, ObjectKind, UtcTime};
use serde::Deserialize;
use utoipa::ToSchema;

/// The current and new passwords.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordChangeRequest {
    /// Current password.
    #[schema(format = "password")]
    current_password: String,
    /// New password, 12 to 128 characters long and not easy to guess.
    #[schema(format = "password")]
    new_password: String,
}

errors!(ChangePasswordErrors: TooManyAttempts);

/// Change your password
///
/// Changing the password ends all other sessions of the account. Attempts with an incorrect current password are
/// throttled in the same way as sign-in attempts.
#[utoipa::path(
    post,
    path = "/api/v1/auth/password",
    tag = "sign-in",
    responses(
        (status = 204, description = "The password has been changed."),
        ChangePasswordErrors,
    ),
)]
pub(crate) async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    jar: CookieJar,
    Body(request): Body<PasswordChangeRequest>,
) -> ApiResult<StatusCode> {
    let entry = caller.audit_entry(Action::PasswordChange, ObjectKind::User, caller.user.id);
    let device = device::find(
        &state.app.settings,
        &state.keys.device_cookies,
        &jar,
        caller.user.email.as_str(),
    );
    match set_password(&state, &caller, device, &request, &entry).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) if error.is_client_error() => Err(refuse(&state, entry, error).await),
        Err(error) => Err(error),
    }
}

async fn set_password(
    state: &AppState,
    caller: &Caller,
    device: Option<Device>,
    request: &PasswordChangeRequest,
    entry: &NewAuditEntry,
) -> ApiResult<()> {
    let session = caller.session()?;
    let known_since = check_passwords(state, caller, device, request).await?;
    let hash = state.passwords.hash(&request.new_password).await;
    let new = NewPassword { user: caller.user.id, session, known_since, hash };
    let is_set = state.app.store.set_password(&new, entry).await?;
    // The password is not set if the session has ended or another request has already changed the password.
    if is_set { Ok(()) } else { Err(ApiError::SessionEnded) }
}

/// Verifies the current password and returns the time at which it was set. The new password is checked only afterwards,
/// so the throttle also limits these expensive checks.
async fn check_passwords(
    state: &AppState,
    caller: &Caller,
    device: Option<Device>,
    request: &PasswordChangeRequest,
) -> ApiResult<Option<UtcTime>> {
    let user = &caller.user;
    let (email, passwords) = (user.email.as_str(), &state.passwords);
    let field_error = |field: &str, code, message: String| {
        ApiError::InvalidInput(vec![FieldError { field: field.to_owned(), code, message }])
    };
    let attempt = throttle::begin_attempt(state, &caller.client, email, device).await?;
    let found = state.app.store.user_with_password(email).await?;
    let (found, stored_hash) = found.filter(|(found, _)| found.id == user.id).unzip();
    if !passwords.verify(&request.current_password, stored_hash.flatten()).await {
        let message = "The current password is incorrect".to_owned();
        return Err(field_error("current_password", FieldErrorCode::PasswordWrong, message));
    }
    attempt.succeeded(state).await?;
    if let Err(weak) = passwords.check(&request.new_password, email, &user.name).await {
        return Err(field_error("new_password", weak.code(), weak.to_string()));
    }
    if request.current_password == request.new_password {
        let message = "The new password must differ from the current one".to_owned();
        return Err(field_error("new_password", FieldErrorCode::PasswordUnchanged, message));
    }
    Ok(found.and_then(|found| found.password_changed_at))
}

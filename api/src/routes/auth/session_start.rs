//! Password verification and session creation, shared by all sign-in routes.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::{anonymous_entry, session_entry};
use crate::auth::cookies::CookieKind;
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::refresh::RefreshToken;
use crate::auth::throttle;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{Action, EmailAddress, NewAuditEntry, NewSession, SessionId, User};

pub(super) struct Credentials<'a> {
    pub(super) email: &'a str,
    pub(super) password: &'a str,
}

pub(super) struct StartedSession {
    pub(super) user: User,
    pub(super) refresh: RefreshToken,
    /// The response cookies, including the one that identifies the device at the next sign-in.
    pub(super) jar: CookieJar,
}

/// Starts a session, or audits the refusal. `device_cookie` must have the calling route's path, so that browsers send
/// the cookie back to that route.
pub(super) async fn start_session(
    state: &AppState,
    client: &ClientInfo,
    jar: CookieJar,
    device_cookie: CookieKind,
    credentials: &Credentials<'_>,
) -> ApiResult<StartedSession> {
    let (settings, key) = (&state.app.settings, &state.keys.device_cookies);
    let typed = credentials.email;
    let credentials = Credentials { email: &as_stored(typed), password: credentials.password };
    let device = device::find(settings, key, &jar, credentials.email);
    match create_session(state, client, &credentials, device).await {
        Ok((user, refresh)) => {
            let cookie = device::cookie(settings, key, device_cookie, device, user.email.as_str());
            Ok(StartedSession { user, refresh, jar: jar.add(cookie) })
        }
        Err(error) if error.is_client_error() => {
            let entry = failed_entry(state, client, typed);
            Err(refuse(state, entry, error).await)
        }
        Err(error) => Err(error),
    }
}

/// Normalizes an address to the form in which accounts store it. The throttle uses the same form, so alternative
/// spellings of an address do not give an attacker extra attempts.
fn as_stored(typed: &str) -> String {
    let email = typed.parse::<EmailAddress>();
    email.map_or_else(|_| typed.trim().to_lowercase(), |email| email.as_str().to_lowercase())
}

/// The audit entry contains the normalized address, so that it can be found by searching for the address of the
/// account. If the address was typed differently, the entry also contains the address as typed.
fn failed_entry(state: &AppState, client: &ClientInfo, typed: &str) -> NewAuditEntry {
    let claimed = as_stored(typed);
    let entry = anonymous_entry(state, client, &claimed, Action::SignIn);
    if claimed == typed { entry } else { entry.with("typed", typed) }
}

async fn create_session(
    state: &AppState,
    client: &ClientInfo,
    credentials: &Credentials<'_>,
    device: Option<Device>,
) -> ApiResult<(User, RefreshToken)> {
    let user = verify_password(state, client, credentials, device).await?;
    let id = SessionId::new();
    let refresh = state.keys.refresh.issue_first(id);
    let session = NewSession {
        id,
        user: user.id,
        password_changed_at: user.password_changed_at,
        refresh: refresh.digest(),
        network: client.network(),
        address: client.address.to_string(),
        user_agent: client.user_agent.clone(),
        idle: state.app.settings.session_idle,
        lifetime: state.app.settings.session_lifetime,
    };
    let entry = session_entry(state, client, &user, id, Action::SignIn);
    match state.app.store.create_session(&session, &entry).await? {
        true => Ok((user, refresh)),
        false => Err(ApiError::SignInFailed),
    }
}

async fn verify_password(
    state: &AppState,
    client: &ClientInfo,
    credentials: &Credentials<'_>,
    device: Option<Device>,
) -> ApiResult<User> {
    let attempt = match throttle::begin_attempt(state, client, credentials.email, device).await {
        Err(throttled @ ApiError::TooManyAttempts { .. }) => {
            // A failed attempt on a hidden track (see [`throttle`]) gets the same error, but only after its password
            // has been verified, so returning the error here must take equally long.
            state.passwords.verify(credentials.password, None).await;
            return Err(throttled);
        }
        attempt => attempt?,
    };
    let found = state.app.store.user_with_password(credentials.email).await?;
    let (user, stored_hash) = found.unzip();
    let is_correct = state.passwords.verify(credentials.password, stored_hash.flatten()).await;
    let Some(user) = user.filter(|_| is_correct) else {
        return Err(attempt.failed(ApiError::SignInFailed));
    };
    attempt.succeeded(state).await?;
    Ok(user)
}

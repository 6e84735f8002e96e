use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::{anonymous_entry, session_entry};
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::refresh::RefreshToken;
use crate::auth::throttle;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::openapi::error_responses::errors;
use crate::routes::auth::session_response::{SessionResponse, SignInResponse, session_response};
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{Action, NewAuditEntry, NewSession, SessionId, User};
use serde::Deserialize;
use utoipa::ToSchema;

/// The credentials of an account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignInRequest {
    /// E-mail address of the account. Case is ignored.
    #[schema(example = "ana@example.org")]
    email: String,
    /// Password.
    #[schema(format = "password")]
    password: String,
    /// Whether to set cookies, for browsers, instead of returning tokens. Default: `false`.
    #[serde(default)]
    cookies: bool,
}

errors!(SignInErrors: SignInFailed, TooManyAttempts);

/// Sign in
///
/// Starts a session. An unknown address and a wrong password get the same response after the same time. Failed attempts
/// delay later ones, by seconds at first and by up to 15 minutes. The delay decreases over time. A successful sign-in
/// also sets the cookie `diagflow_device` for a year: attempts from that device are throttled separately from all
/// others.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "sign-in",
    responses((status = 200, description = "The session.", body = SignInResponse), SignInErrors),
)]
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    client: ClientInfo,
    jar: CookieJar,
    Body(request): Body<SignInRequest>,
) -> ApiResult<SessionResponse> {
    let (settings, key) = (&state.app.settings, &state.keys.device_cookies);
    let device = device::find(settings, key, &jar, &request.email);
    match start_session(&state, &client, &request, device).await {
        Ok((user, refresh)) => {
            let jar = jar.add(device::cookie(settings, key, device, user.email.as_str()));
            Ok(session_response(&state, jar, request.cookies, &user, &refresh))
        }
        Err(error) if error.is_client_error() => {
            let entry = failed_entry(&state, &client, &request.email);
            Err(refuse(&state, entry, error).await)
        }
        Err(error) => Err(error),
    }
}

/// The entry contains the address in lower case, as accounts do, so that a search finds it. If the typed address
/// differs, the entry contains it too.
fn failed_entry(state: &AppState, client: &ClientInfo, typed: &str) -> NewAuditEntry {
    let claimed = typed.trim().to_lowercase();
    let entry = anonymous_entry(state, client, &claimed, Action::SignIn);
    if claimed == typed { entry } else { entry.with("typed", typed) }
}

async fn start_session(
    state: &AppState,
    client: &ClientInfo,
    request: &SignInRequest,
    device: Option<Device>,
) -> ApiResult<(User, RefreshToken)> {
    let user = verify_password(state, client, request, device).await?;
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
    request: &SignInRequest,
    device: Option<Device>,
) -> ApiResult<User> {
    let attempt = match throttle::begin_attempt(state, client, &request.email, device).await {
        Err(throttled @ ApiError::TooManyAttempts { .. }) => {
            // Takes as long as an attempt with a wrong password, which gets the same response.
            state.passwords.verify(&request.password, None).await;
            return Err(throttled);
        }
        attempt => attempt?,
    };
    let found = state.app.store.user_with_password(&request.email).await?;
    let (user, stored_hash) = found.unzip();
    let is_correct = state.passwords.verify(&request.password, stored_hash.flatten()).await;
    let Some(user) = user.filter(|_| is_correct) else {
        return Err(attempt.failed(ApiError::SignInFailed));
    };
    attempt.succeeded(state).await?;
    Ok(user)
}

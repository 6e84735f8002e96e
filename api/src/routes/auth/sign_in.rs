//! `POST /api/v1/auth/login`: an e-mail address and a password for a session.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::anonymous_entry;
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::refresh::RefreshToken;
use crate::auth::throttle;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::routes::auth::session_response::{SessionResponse, SignInResponse, session_response};
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, Actor, ActorKind, NewAuditEntry, NewSession, ObjectKind, SessionId, User,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Whom somebody says to be.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignInRequest {
    /// The account's address; upper and lower case are the same.
    #[schema(example = "ana@example.org")]
    email: String,
    /// Its password.
    #[schema(format = "password")]
    password: String,
    /// Whether to answer with cookies, for pages, instead of tokens. Default: no.
    #[serde(default)]
    cookies: bool,
}

/// Begins a session.
///
/// An unknown address and a wrong password get the same answer, after the same time. Failures slow down
/// what follows them, from seconds to a quarter of an hour, and are forgotten with time. A success also sets
/// the cookie `diagflow_device` for a year: whoever brings it is not slowed down by what others fail at.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "sign-in",
    request_body = SignInRequest,
    responses(
        (status = 200, description = "The session.", body = SignInResponse),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 401, description = "`sign_in_failed`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
        (status = 429, description = "`too_many_attempts`, `too_many_requests`: repeat after `Retry-After`", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    client: ClientInfo,
    jar: CookieJar,
    Body(given): Body<SignInRequest>,
) -> ApiResult<SessionResponse> {
    let device = device::find(&state.app.settings, &state.keys.device_cookies, &jar, &given.email);
    let session = match verify_password(&state, &client, &given, device).await {
        Ok(user) => create_session(&state, &user, &client).await.map(|refresh| (user, refresh)),
        Err(refusal) => Err(refusal),
    };
    match session {
        Ok((user, refresh)) => {
            let jar = jar.add(device::cookie(
                &state.app.settings,
                &state.keys.device_cookies,
                device,
                user.email.as_str(),
            ));
            Ok(session_response(&state, jar, given.cookies, &user, &refresh))
        }
        Err(refusal) if refusal.is_client_error() => {
            let entry = failed_entry(&state, &client, &given.email);
            Err(refuse(&state, entry, refusal).await)
        }
        Err(error) => Err(error),
    }
}

/// The entry of a sign-in that failed. The address as accounts have it, so that it is found by that; what
/// was typed besides, where it differs.
fn failed_entry(state: &AppState, client: &ClientInfo, typed: &str) -> NewAuditEntry {
    let claimed = typed.trim().to_lowercase();
    let entry = anonymous_entry(state, client, &claimed, Action::SignIn);
    if claimed == typed { entry } else { entry.with("typed", typed) }
}

/// Whose address and password these are.
async fn verify_password(
    state: &AppState,
    client: &ClientInfo,
    given: &SignInRequest,
    device: Option<Device>,
) -> ApiResult<User> {
    let attempt = match throttle::begin_attempt(state, client, &given.email, device).await {
        Err(closed @ ApiError::TooManyAttempts { .. }) => {
            // As long as a wrong password takes that was tried, and is answered in the same way.
            state.passwords.verify(&given.password, None).await;
            return Err(closed);
        }
        attempt => attempt?,
    };
    let found = state.app.store.user_with_password(&given.email).await?;
    let (user, stored_hash) = found.unzip();
    let right = state.passwords.verify(&given.password, stored_hash.flatten()).await;
    let Some(user) = user.filter(|_| right) else {
        return Err(attempt.failed(ApiError::SignInFailed));
    };
    attempt.succeeded(state).await?;
    Ok(user)
}

async fn create_session(
    state: &AppState,
    user: &User,
    client: &ClientInfo,
) -> ApiResult<RefreshToken> {
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
    let entry = anonymous_entry(state, client, user.email.as_str(), Action::SignIn);
    let actor = Actor { kind: ActorKind::User, id: Some(user.id), name: user.email.to_string() };
    let (object_kind, object_id) = (ObjectKind::Session, id.to_string());
    let entry = NewAuditEntry { actor, object_kind, object_id, ..entry };
    if !state.app.store.create_session(&session, &entry).await? {
        return Err(ApiError::SignInFailed);
    }
    Ok(refresh)
}

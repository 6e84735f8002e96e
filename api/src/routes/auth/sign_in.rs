//! `POST /api/v1/auth/login`: an e-mail address and a password for a session.

use crate::app::AppState;
use crate::auth::caller::somebody_did;
use crate::auth::device;
use crate::auth::device::Device;
use crate::auth::refresh::RefreshToken;
use crate::auth::refusals::note;
use crate::auth::throttle;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::origin::Origin;
use crate::routes::auth::session::{SessionAnswer, SignedIn, answer};
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, Actor, ActorKind, AuditEntry, NewSession, ObjectKind, SessionId, User,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Whom somebody says to be.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignIn {
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
    request_body = SignIn,
    responses(
        (status = 200, description = "The session.", body = SignedIn),
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
    origin: Origin,
    jar: CookieJar,
    Body(given): Body<SignIn>,
) -> ApiResult<SessionAnswer> {
    let device = device::known(&state.app.settings, &state.keys.devices, &jar, &given.email);
    let begun = match recognise(&state, &origin, &given, device).await {
        Ok(user) => begin(&state, &user, &origin).await.map(|refresh| (user, refresh)),
        Err(refusal) => Err(refusal),
    };
    match begun {
        Ok((user, refresh)) => {
            let jar = jar.add(device::cookie(
                &state.app.settings,
                &state.keys.devices,
                device,
                user.email.as_str(),
            ));
            Ok(answer(&state, jar, given.cookies, &user, &refresh))
        }
        Err(refusal) if refusal.is_of_the_caller() => {
            let line = failed(&state, &origin, &given.email);
            note(&state, &line.refused(refusal.code())).await?;
            Err(refusal)
        }
        Err(fault) => Err(fault),
    }
}

/// The line of a sign-in that failed. The address as accounts have it, so that it is found by that; what
/// was typed besides, where it differs.
fn failed(state: &AppState, origin: &Origin, typed: &str) -> AuditEntry {
    let claimed = typed.trim().to_lowercase();
    let line = somebody_did(state, origin, &claimed, Action::SignIn);
    if claimed == typed { line } else { line.with("typed", typed) }
}

/// Whose address and password these are.
async fn recognise(
    state: &AppState,
    origin: &Origin,
    given: &SignIn,
    device: Option<Device>,
) -> ApiResult<User> {
    let attempt = match throttle::attempt(state, origin, &given.email, device).await {
        Err(closed @ ApiError::TooManyAttempts { .. }) => {
            // As long as a wrong password takes that was tried, and is answered in the same way.
            state.passwords.is(&given.password, None).await;
            return Err(closed);
        }
        attempt => attempt?,
    };
    let found = state.app.store.user_with_password(&given.email).await?;
    let (user, kept) = found.unzip();
    let right = state.passwords.is(&given.password, kept.flatten()).await;
    let Some(user) = user.filter(|_| right) else {
        return Err(attempt.failed(ApiError::SignInFailed));
    };
    attempt.succeeded(state).await?;
    Ok(user)
}

async fn begin(state: &AppState, user: &User, origin: &Origin) -> ApiResult<RefreshToken> {
    let id = SessionId::new();
    let refresh = state.keys.refreshes.first(id);
    let session = NewSession {
        id,
        user: user.id,
        password_changed_at: user.password_changed_at,
        refresh: refresh.digest(),
        network: origin.network(),
        address: origin.address.to_string(),
        user_agent: origin.user_agent.clone(),
        idle: state.app.settings.session_idle,
        lifetime: state.app.settings.session_lifetime,
    };
    let line = somebody_did(state, origin, user.email.as_str(), Action::SignIn);
    let actor = Actor { kind: ActorKind::User, id: Some(user.id), name: user.email.to_string() };
    let (object_kind, object_id) = (ObjectKind::Session, id.to_string());
    let line = AuditEntry { actor, object_kind, object_id, ..line };
    if !state.app.store.begin_session(&session, &line).await? {
        return Err(ApiError::SignInFailed);
    }
    Ok(refresh)
}

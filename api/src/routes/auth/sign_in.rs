//! `POST /api/v1/auth/login`: an e-mail address and a password for a session.

use crate::app::AppState;
use crate::auth::{Secret, cookies, somebody_did};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::origin::Origin;
use axum::Json;
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, Actor, ActorKind, AuditEntry, NewSession, ObjectKind, SessionId, User,
};
use serde::{Deserialize, Serialize};
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

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignedIn {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Brought along as `Authorization: Bearer`. Not where cookies were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Gives the next access token, once. Not where cookies were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 900)]
    expires_in: u64,
    /// What a page brings along in `X-CSRF-Token` with every change.
    csrf_token: String,
    /// Names the session.
    #[schema(value_type = String, format = "uuid")]
    session_id: SessionId,
}

/// Begins a session.
///
/// An unknown address and a wrong password get the same answer, after the same time.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "sign-in",
    request_body = SignIn,
    responses(
        (status = 200, description = "The session.", body = SignedIn),
        (status = 401, description = "`sign_in_failed`", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    origin: Origin,
    jar: CookieJar,
    Json(given): Json<SignIn>,
) -> ApiResult<(CookieJar, Json<SignedIn>)> {
    let found = state.app.store.user_with_password(&given.email).await?;
    let (user, kept) = found.unzip();
    let right = state.passwords.is(&given.password, kept.flatten()).await;
    let Some(user) = user.filter(|_| right) else {
        let line = somebody_did(&state, &origin, &given.email, Action::SignIn);
        state.app.store.audit(&line.refused(ApiError::SignInFailed.code())).await?;
        return Err(ApiError::SignInFailed);
    };
    let (session, refresh) = begin(&state, &user, &origin).await?;
    Ok(answer(&state, jar, given.cookies, &user, session, &refresh))
}

async fn begin(state: &AppState, user: &User, origin: &Origin) -> ApiResult<(SessionId, Secret)> {
    let (id, refresh) = (SessionId::new(), Secret::new());
    let session = NewSession {
        id,
        user: user.id,
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
    state.app.store.begin_session(&session, &line).await?;
    Ok((id, refresh))
}

fn answer(
    state: &AppState,
    jar: CookieJar,
    by_cookies: bool,
    user: &User,
    session: SessionId,
    refresh: &Secret,
) -> (CookieJar, Json<SignedIn>) {
    let access = state.signer.token(user.id, session);
    let refresh = refresh.reveal().to_owned();
    let settings = &state.app.settings;
    let jar = if by_cookies {
        jar.add(cookies::cookie(settings, cookies::SESSION, "/", access.clone())).add(
            cookies::cookie(settings, cookies::REFRESH, cookies::REFRESH_PATH, refresh.clone()),
        )
    } else {
        jar
    };
    let body = SignedIn {
        success: true,
        access_token: (!by_cookies).then_some(access),
        refresh_token: (!by_cookies).then_some(refresh),
        token_type: "Bearer",
        expires_in: state.signer.lifetime().as_secs(),
        csrf_token: state.csrf.token(session),
        session_id: session,
    };
    (jar, Json(body))
}

//! What a sign-in and a refresh are answered with.

use crate::app::AppState;
use crate::auth::cookies;
use crate::auth::refresh::RefreshToken;
use axum::Json;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{SessionId, User};
use serde::Serialize;
use utoipa::ToSchema;

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInResponse {
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

/// The answer that carries a session: tokens, or cookies that no cache may keep.
pub(crate) type SessionResponse =
    (CookieJar, [(HeaderName, &'static str); 1], Json<SignInResponse>);

/// Gives out an access token, and this refresh token, for a session of `user`.
pub(super) fn session_response(
    state: &AppState,
    jar: CookieJar,
    with_cookies: bool,
    user: &User,
    refresh: &RefreshToken,
) -> SessionResponse {
    let session = refresh.session;
    let access = state.keys.access_tokens.issue(user.id, session);
    let refresh = refresh.reveal();
    let settings = &state.app.settings;
    let jar =
        if with_cookies {
            jar.add(cookies::cookie(settings, cookies::SESSION, access.clone()))
                .add(cookies::cookie(settings, cookies::REFRESH, refresh.clone()))
        } else {
            jar
        };
    let body = SignInResponse {
        success: true,
        access_token: (!with_cookies).then_some(access),
        refresh_token: (!with_cookies).then_some(refresh),
        token_type: "Bearer",
        expires_in: state.keys.access_tokens.lifetime().as_secs(),
        csrf_token: state.keys.csrf.token(session),
        session_id: session,
    };
    (jar, [(CACHE_CONTROL, "no-store")], Json(body))
}

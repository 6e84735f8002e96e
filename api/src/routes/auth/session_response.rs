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

/// A session's tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Access token for the `Authorization: Bearer` header. Absent if cookies were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// Refresh token, valid for one use. Absent if cookies were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    #[schema(example = 900)]
    expires_in: u64,
    /// CSRF token for the `X-CSRF-Token` header, which is required when a request authenticated with a session cookie
    /// changes data.
    csrf_token: String,
    /// Id of the session.
    #[schema(value_type = String, format = "uuid")]
    session_id: SessionId,
}

pub(crate) type SessionResponse =
    (CookieJar, [(HeaderName, &'static str); 1], Json<SignInResponse>);

/// Issues an access token and returns it together with the refresh token, either in the body or as cookies.
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

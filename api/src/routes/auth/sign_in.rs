use crate::app::AppState;
use crate::auth::cookies;
use crate::error::ApiResult;
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::openapi::error_responses::errors;
use crate::routes::auth::session_response::{SessionResponse, SignInResponse, session_response};
use crate::routes::auth::session_start::{Credentials, start_session};
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
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
    let credentials = Credentials { email: &request.email, password: &request.password };
    let started = start_session(&state, &client, jar, cookies::DEVICE, &credentials).await?;
    Ok(session_response(&state, started.jar, request.cookies, &started.user, &started.refresh))
}

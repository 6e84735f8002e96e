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

/// Account credentials.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignInRequest {
    /// E-mail address of the account (case-insensitive).
    #[schema(example = "ana@example.org")]
    email: String,
    /// Password of the account.
    #[schema(format = "password")]
    password: String,
    /// Whether to return the tokens as cookies (for browsers) instead of in the body. Default: `false`.
    #[serde(default)]
    cookies: bool,
}

errors!(SignInErrors: SignInFailed, TooManyAttempts);

/// Sign in
///
/// Starts a session. Unknown addresses and incorrect passwords produce the same response and take the same time. After
/// several failed attempts, further attempts are delayed, at first by seconds and eventually by up to 15 minutes. The
/// delay decreases over time. A successful sign-in also sets the `diagflow_device` cookie for one year, so that
/// attempts from a known device are throttled separately from all others.
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

use crate::app::AppState;
use crate::auth::cookies;
use crate::error::ApiResult;
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::openapi::error_responses::errors;
use crate::routes::auth::session_start::{Credentials, start_session};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum_extra::extract::cookie::CookieJar;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Account credentials, as sent by admin consoles.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ConsoleSignInRequest {
    /// E-mail address of the account (case-insensitive).
    #[schema(example = "ana@example.org")]
    username: String,
    /// Password of the account.
    #[schema(format = "password")]
    password: String,
}

/// A session's access token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsoleSignInResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Access token for the `Authorization: Bearer` header.
    token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Maximum lifetime of the token in seconds. The token becomes invalid earlier if its session ends.
    #[schema(example = 43200)]
    expires_in: u64,
}

errors!(SignInFromConsoleErrors: SignInFailed, TooManyAttempts);

/// Sign in from an admin console
///
/// Starts a session for a console that cannot refresh tokens. Failed attempts are throttled in the same way as for
/// `POST /api/v1/auth/login`. The token is valid until the session ends. A session ends after a period of inactivity,
/// at the end of its lifetime, when the user signs out, or when an admin ends it. The only cookie set by the response
/// is `diagflow_device`.
#[utoipa::path(
    post,
    path = "/api/admin/login",
    tag = "sign-in",
    responses(
        (status = 200, description = "The session.", body = ConsoleSignInResponse),
        SignInFromConsoleErrors,
    ),
)]
pub(crate) async fn sign_in_from_console(
    State(state): State<AppState>,
    client: ClientInfo,
    jar: CookieJar,
    Body(request): Body<ConsoleSignInRequest>,
) -> ApiResult<(CookieJar, [(HeaderName, &'static str); 1], Json<ConsoleSignInResponse>)> {
    let credentials = Credentials { email: &request.username, password: &request.password };
    let started =
        start_session(&state, &client, jar, cookies::CONSOLE_DEVICE, &credentials).await?;
    // Every request checks the session in the database, so the token may be valid for as long as the session.
    let lifetime = state.app.settings.session_lifetime;
    let session = started.refresh.session;
    let body = ConsoleSignInResponse {
        success: true,
        token: state.keys.access_tokens.issue_for(started.user.id, session, lifetime),
        token_type: "Bearer",
        expires_in: lifetime.as_secs(),
    };
    Ok((started.jar, [(CACHE_CONTROL, "no-store")], Json(body)))
}

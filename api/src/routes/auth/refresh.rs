use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::{anonymous_entry, session_entry};
use crate::auth::cookies;
use crate::auth::refresh::RefreshToken;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::openapi::error_responses::errors;
use crate::routes::auth::session_response::{SessionResponse, SignInResponse, session_response};
use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, EndReason, NewAuditEntry, ObjectKind, RefreshOutcome, Rotation, User,
};
use serde::Deserialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Time within which a client that did not receive the response may repeat the request.
const GRACE: Duration = Duration::from_secs(10);

/// A refresh token. Browsers send the token as a cookie instead.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshRequest {
    /// Refresh token from the sign-in response or from the previous refresh.
    refresh_token: Option<String>,
}

errors!(RefreshSessionErrors: TokenRequired, TokenInvalid, SessionEnded);

/// Refresh the access token
///
/// Returns a new access token and a new refresh token. A refresh token can be used only once. Repeating the request
/// within ten seconds returns the same new refresh token. Repeating it later ends the session, because the token may
/// have been stolen. Browsers send only the cookie, without a body or an `X-CSRF-Token` header. Other sites can neither
/// send the cookie nor read the response.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "sign-in",
    responses(
        (status = 200, description = "The new tokens.", body = SignInResponse),
        RefreshSessionErrors,
    ),
)]
pub(crate) async fn refresh_session(
    State(state): State<AppState>,
    client: ClientInfo,
    jar: CookieJar,
    body: Option<Body<RefreshRequest>>,
) -> ApiResult<SessionResponse> {
    let in_body = body.and_then(|Body(request)| request.refresh_token);
    let from_cookie = in_body.is_none();
    let text = in_body.or_else(|| cookies::read(&state.app.settings, cookies::REFRESH, &jar));
    let token = state.keys.refresh.verify(&text.ok_or(ApiError::TokenRequired)?);
    let rotated = match &token {
        Some(token) => rotate(&state, &client, token).await,
        None => Err(ApiError::TokenInvalid),
    };
    match rotated {
        Ok((user, next)) => Ok(session_response(&state, jar, from_cookie, &user, &next)),
        Err(error) if error.is_client_error() => {
            let entry = failed_entry(&state, &client, token.as_ref()).await?;
            Err(refuse(&state, entry, error).await)
        }
        Err(error) => Err(error),
    }
}

async fn rotate(
    state: &AppState,
    client: &ClientInfo,
    token: &RefreshToken,
) -> ApiResult<(User, RefreshToken)> {
    let (store, session) = (&state.app.store, token.session);
    let user = store.session_user(session).await?.ok_or(ApiError::SessionEnded)?;
    let next = state.keys.refresh.next(token);
    let rotation = Rotation {
        given: token.digest(),
        next: next.digest(),
        grace: GRACE,
        idle: state.app.settings.session_idle,
    };
    let refreshed = session_entry(state, client, &user, session, Action::SessionRefresh);
    let reused = session_entry(state, client, &user, session, Action::SessionEnd)
        .with("reason", EndReason::RefreshReused.as_str());
    match store.refresh_session(session, &rotation, &refreshed, &reused).await? {
        RefreshOutcome::Rotated | RefreshOutcome::Repeated => Ok((user, next)),
        RefreshOutcome::Reused | RefreshOutcome::Ended => Err(ApiError::SessionEnded),
    }
}

/// Returns the audit entry for a failed refresh. A token that we issued identifies its session and account even after
/// the session has ended.
async fn failed_entry(
    state: &AppState,
    client: &ClientInfo,
    token: Option<&RefreshToken>,
) -> ApiResult<NewAuditEntry> {
    let action = Action::SessionRefresh;
    let anonymous = anonymous_entry(state, client, "", action);
    let Some(&RefreshToken { session, .. }) = token else { return Ok(anonymous) };
    Ok(match state.app.store.session_owner(session).await? {
        Some(user) => session_entry(state, client, &user, session, action),
        // The session ended so long ago that its row has been removed.
        None => {
            let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
            NewAuditEntry { object_kind, object_id, ..anonymous }
        }
    })
}

//! `POST /api/v1/auth/refresh`: the next access token, for a refresh token that is then used up.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::anonymous_entry;
use crate::auth::cookies;
use crate::auth::refresh::RefreshToken;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::client_info::ClientInfo;
use crate::routes::auth::session_response::{SessionResponse, SignInResponse, session_response};
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, Actor, ActorKind, NewAuditEntry, ObjectKind, RefreshOutcome, Rotation, SessionId, User,
};
use serde::Deserialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a used refresh token may come again, because the answer was lost on its way.
const GRACE: Duration = Duration::from_secs(10);

/// A refresh token; pages send none here, but the cookie.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshRequest {
    /// The `refresh_token` of the sign-in, or of the refresh before.
    refresh_token: Option<String>,
}

/// Gives the next access token, and the next refresh token.
///
/// A refresh token is good once; the answer may be asked for again within ten seconds. One that comes
/// again later is in two hands: then the session ends. For pages the cookie is enough, without a body and
/// without `X-CSRF-Token`: no page of another site can send it, nor read the answer.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "sign-in",
    request_body(content = Option<RefreshRequest>, content_type = "application/json"),
    responses(
        (status = 200, description = "The session goes on.", body = SignInResponse),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 401, description = "`token_required`, `token_invalid`, `session_ended`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn refresh_session(
    State(state): State<AppState>,
    client: ClientInfo,
    jar: CookieJar,
    request: Request,
) -> ApiResult<SessionResponse> {
    let (text, with_cookies) = presented(&state, &jar, request).await?;
    let given = state.keys.refresh.verify(&text);
    let outcome = match &given {
        Some(given) => rotate(&state, &client, given).await,
        None => Err(ApiError::TokenInvalid),
    };
    match outcome {
        Ok((user, next)) => Ok(session_response(&state, jar, with_cookies, &user, &next)),
        Err(error) if error.is_client_error() => {
            let entry = failed_entry(&state, &client, given.as_ref()).await?;
            Err(refuse(&state, entry, error).await)
        }
        Err(error) => Err(error),
    }
}

/// The token of the body, or else of the cookie, and whether it is the cookie's.
async fn presented(
    state: &AppState,
    jar: &CookieJar,
    request: Request,
) -> ApiResult<(String, bool)> {
    let in_body = if request.headers().contains_key(CONTENT_TYPE) {
        Body::<RefreshRequest>::from_request(request, &()).await?.0.refresh_token
    } else {
        None
    };
    let from_cookie = in_body.is_none();
    let text = in_body.or_else(|| cookies::read(&state.app.settings, cookies::REFRESH, jar));
    Ok((text.ok_or(ApiError::TokenRequired)?, from_cookie))
}

async fn rotate(
    state: &AppState,
    client: &ClientInfo,
    given: &RefreshToken,
) -> ApiResult<(User, RefreshToken)> {
    let store = &state.app.store;
    let user = store.session_user(given.session).await?.ok_or(ApiError::SessionEnded)?;
    let next = state.keys.refresh.next(given);
    let rotation = Rotation {
        given: given.digest(),
        next: next.digest(),
        grace: GRACE,
        idle: state.app.settings.session_idle,
    };
    let done = session_entry(state, client, &user, given.session, Action::SessionRefresh);
    let reused = session_entry(state, client, &user, given.session, Action::SessionEnd)
        .with("reason", "refresh_reused");
    match store.refresh_session(given.session, &rotation, &done, &reused).await? {
        RefreshOutcome::Rotated | RefreshOutcome::Repeated => Ok((user, next)),
        RefreshOutcome::Reused | RefreshOutcome::Ended => Err(ApiError::SessionEnded),
    }
}

fn session_entry(
    state: &AppState,
    client: &ClientInfo,
    user: &User,
    session: SessionId,
    action: Action,
) -> NewAuditEntry {
    let actor = Actor { kind: ActorKind::User, id: Some(user.id), name: user.email.to_string() };
    let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
    NewAuditEntry { actor, object_kind, object_id, ..anonymous_entry(state, client, "", action) }
}

/// A token of ours names its session, and so its owner, even if the session has ended.
async fn failed_entry(
    state: &AppState,
    client: &ClientInfo,
    given: Option<&RefreshToken>,
) -> ApiResult<NewAuditEntry> {
    let action = Action::SessionRefresh;
    let anonymous = anonymous_entry(state, client, "", action);
    let Some(RefreshToken { session, .. }) = given else { return Ok(anonymous) };
    Ok(match state.app.store.session_owner(*session).await? {
        Some(user) => session_entry(state, client, &user, *session, action),
        // Ended so long ago that its row is removed.
        None => {
            let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
            NewAuditEntry { object_kind, object_id, ..anonymous }
        }
    })
}

//! `POST /api/v1/auth/refresh`: the next access token, for a refresh token that is then used up.

use crate::app::AppState;
use crate::auth::caller::somebody_did;
use crate::auth::cookies;
use crate::auth::refresh::RefreshToken;
use crate::auth::refusals::note;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::origin::Origin;
use crate::routes::auth::session::{SessionAnswer, SignedIn, answer};
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{
    Action, Actor, ActorKind, AuditEntry, ObjectKind, Refreshed, Rotation, SessionId, User,
};
use serde::Deserialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a used refresh token may come again, because the answer was lost on its way.
const GRACE: Duration = Duration::from_secs(10);

/// A refresh token; pages send none here, but the cookie.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Refresh {
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
    request_body(content = Option<Refresh>, content_type = "application/json"),
    responses(
        (status = 200, description = "The session goes on.", body = SignedIn),
        (status = 400, description = "`invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 401, description = "`token_required`, `token_invalid`, `session_ended`", body = ErrorBody),
        (status = 413, description = "`body_too_large`", body = ErrorBody),
        (status = 415, description = "`unsupported_media_type`", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn refresh(
    State(state): State<AppState>,
    origin: Origin,
    jar: CookieJar,
    request: Request,
) -> ApiResult<SessionAnswer> {
    let (text, by_cookies) = presented(&state, &jar, request).await?;
    let given = state.keys.refreshes.read(&text);
    let outcome = match &given {
        Some(given) => rotate(&state, &origin, given).await,
        None => Err(ApiError::TokenInvalid),
    };
    match outcome {
        Ok((user, next)) => Ok(answer(&state, jar, by_cookies, &user, &next)),
        Err(refusal) => {
            note_refusal(&state, &origin, given.as_ref(), &refusal).await?;
            Err(refusal)
        }
    }
}

/// The token of the body, or else of the cookie, and whether it is the cookie's.
async fn presented(
    state: &AppState,
    jar: &CookieJar,
    request: Request,
) -> ApiResult<(String, bool)> {
    let in_body = if request.headers().contains_key(CONTENT_TYPE) {
        Body::<Refresh>::from_request(request, &()).await?.0.refresh_token
    } else {
        None
    };
    let by_cookie = in_body.is_none();
    let text = in_body.or_else(|| cookies::brought(&state.app.settings, cookies::REFRESH, jar));
    Ok((text.ok_or(ApiError::TokenRequired)?, by_cookie))
}

async fn rotate(
    state: &AppState,
    origin: &Origin,
    given: &RefreshToken,
) -> ApiResult<(User, RefreshToken)> {
    let store = &state.app.store;
    let user = store.session_user(given.session).await?.ok_or(ApiError::SessionEnded)?;
    let next = state.keys.refreshes.next(given);
    let rotation = Rotation {
        given: given.digest(),
        next: next.digest(),
        grace: GRACE,
        idle: state.app.settings.session_idle,
    };
    let done = line(state, origin, &user, given.session, Action::SessionRefresh);
    let reused = line(state, origin, &user, given.session, Action::SessionEnd)
        .with("reason", "refresh_reused");
    match store.refresh_session(given.session, &rotation, &done, &reused).await? {
        Refreshed::Rotated | Refreshed::Repeated => Ok((user, next)),
        Refreshed::Reused | Refreshed::Ended => Err(ApiError::SessionEnded),
    }
}

fn line(
    state: &AppState,
    origin: &Origin,
    user: &User,
    session: SessionId,
    action: Action,
) -> AuditEntry {
    let actor = Actor { kind: ActorKind::User, id: Some(user.id), name: user.email.to_string() };
    let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
    AuditEntry { actor, object_kind, object_id, ..somebody_did(state, origin, "", action) }
}

/// A token of ours tells of which session it was, and so whose, also when that has ended.
async fn note_refusal(
    state: &AppState,
    origin: &Origin,
    given: Option<&RefreshToken>,
    refusal: &ApiError,
) -> ApiResult<()> {
    if refusal.is_of_the_caller() {
        let line = match given {
            Some(token) => of_session(state, origin, token.session).await?,
            None => somebody_did(state, origin, "", Action::SessionRefresh),
        };
        note(state, &line.refused(refusal.code())).await?;
    }
    Ok(())
}

async fn of_session(
    state: &AppState,
    origin: &Origin,
    session: SessionId,
) -> ApiResult<AuditEntry> {
    let action = Action::SessionRefresh;
    Ok(match state.app.store.session_owner(session).await? {
        Some(user) => line(state, origin, &user, session, action),
        // Ended so long ago that it is not kept any more.
        None => {
            let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
            AuditEntry { object_kind, object_id, ..somebody_did(state, origin, "", action) }
        }
    })
}

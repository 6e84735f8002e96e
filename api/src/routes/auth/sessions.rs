//! `/api/v1/auth/sessions`: one's own sessions.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::named::Named;
use crate::routes::accounts::session_body::{Ended, SessionList};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, ObjectKind, SessionId};

/// Lists one's own sessions, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/auth/sessions",
    tag = "sign-in",
    operation_id = "own_sessions",
    responses((status = 200, description = "Those that are alive.", body = SessionList)),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<SessionList>> {
    let sessions = state.app.store.sessions_of(caller.user.id).await?;
    let line = caller.did(Action::SessionsView, ObjectKind::User, caller.user.id);
    state.app.store.audit(&line).await?;
    Ok(Json(SessionList::of(sessions, Some(caller.session()?))))
}

/// Ends one of one's own sessions, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions/{session_id}",
    tag = "sign-in",
    operation_id = "end_own_session",
    params(("session_id" = String, Path, description = "The session's `id`.", format = "uuid")),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    caller: Caller,
    Named(session): Named<SessionId>,
) -> ApiResult<StatusCode> {
    let line = caller.did(Action::SessionEnd, ObjectKind::Session, session);
    let (store, user) = (&state.app.store, caller.user.id);
    if !store.end_session_of(user, session, "ended_by_user", &line).await? {
        return refused(&state, line, ApiError::NotFound).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all of one's own sessions but this one, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions",
    tag = "sign-in",
    operation_id = "end_own_other_sessions",
    responses((status = 200, description = "They have ended.", body = Ended)),
)]
pub(crate) async fn end_others(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<Ended>> {
    let (this, user) = (caller.session()?, caller.user.id);
    let line = caller.did(Action::SessionEnd, ObjectKind::User, user);
    let ended = state.app.store.end_sessions_of(user, Some(this), "ended_by_user", &line).await?;
    Ok(Json(Ended::of(ended)))
}

//! `/api/v1/users/{id}/sessions`: the sessions of any account.

use crate::app::AppState;
use crate::auth::caller::{Caller, Via};
use crate::error::answer::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::named::Named;
use crate::routes::accounts::existing;
use crate::routes::accounts::session_body::{Ended, SessionList};
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, ObjectKind, SessionId, UserId};

/// Lists the sessions of an account, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/sessions",
    tag = "users",
    operation_id = "user_sessions",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "Those that are alive.", body = SessionList),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<UserId>,
) -> ApiResult<Json<SessionList>> {
    let user = existing(&state, &caller, Action::SessionsView, id).await?;
    let sessions = state.app.store.sessions_of(user.id).await?;
    state.app.store.audit(&caller.did(Action::SessionsView, ObjectKind::User, user.id)).await?;
    let current = match caller.via {
        Via::Session(session) => Some(session),
        Via::ApiKey(_) => None,
    };
    Ok(Json(SessionList::of(sessions, current)))
}

/// Ends all sessions of an account, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/sessions",
    tag = "users",
    operation_id = "end_user_sessions",
    params(("id" = String, Path, description = "The account's `id`.", format = "uuid")),
    responses(
        (status = 200, description = "They have ended.", body = Ended),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn end_all(
    State(state): State<AppState>,
    caller: Caller,
    Named(id): Named<UserId>,
) -> ApiResult<Json<Ended>> {
    let user = existing(&state, &caller, Action::SessionEnd, id).await?;
    let line = caller.did(Action::SessionEnd, ObjectKind::User, user.id);
    let ended = state.app.store.end_sessions_of(user.id, None, "ended_by_admin", &line).await?;
    Ok(Json(Ended::of(ended)))
}

/// Ends one session of an account, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/sessions/{session_id}",
    tag = "users",
    operation_id = "end_user_session",
    params(
        ("id" = String, Path, description = "The account's `id`.", format = "uuid"),
        ("session_id" = String, Path, description = "The session's `id`.", format = "uuid"),
    ),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    caller: Caller,
    Named((id, session)): Named<(UserId, SessionId)>,
) -> ApiResult<StatusCode> {
    let user = existing(&state, &caller, Action::SessionEnd, id).await?;
    let line = caller.did(Action::SessionEnd, ObjectKind::Session, session);
    let line = line.with("user", user.id.to_string());
    if !state.app.store.end_session_of(user.id, session, "ended_by_admin", &line).await? {
        return refused(&state, line, ApiError::NotFound).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::auth_method::AuthMethod;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::routes::accounts::find_user;
use crate::routes::accounts::session_body::{EndedSessionsResponse, SessionListResponse};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, EndReason, ObjectKind, SessionId, UserId};

/// List an account's sessions
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}/sessions",
    tag = "users",
    responses((status = 200, description = "The active sessions.", body = SessionListResponse)),
)]
pub(crate) async fn list_user_sessions(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<SessionListResponse>> {
    let user = find_user(&state, &caller, Action::SessionsView, id).await?;
    let sessions = state.app.store.user_sessions(user.id).await?;
    let entry = caller.audit_entry(Action::SessionsView, ObjectKind::User, user.id);
    state.app.store.append_audit_entry(&entry).await?;
    let current = match caller.auth_method {
        AuthMethod::Session(session) => Some(session),
        AuthMethod::ApiKey(_) => None,
    };
    Ok(Json(SessionListResponse::of(sessions, current)))
}

/// End all of an account's sessions
///
/// All tokens of the sessions become invalid immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/sessions",
    tag = "users",
    responses((status = 200, description = "The sessions have ended.", body = EndedSessionsResponse)),
)]
pub(crate) async fn end_user_sessions(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> ApiResult<Json<EndedSessionsResponse>> {
    let user = find_user(&state, &caller, Action::SessionEnd, id).await?;
    let entry = caller.audit_entry(Action::SessionEnd, ObjectKind::User, user.id);
    let ended =
        state.app.store.end_user_sessions(user.id, None, EndReason::EndedByAdmin, &entry).await?;
    Ok(Json(EndedSessionsResponse::of(ended)))
}

/// End one of an account's sessions
///
/// All tokens of the session become invalid immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}/sessions/{session_id}",
    tag = "users",
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn end_user_session(
    State(state): State<AppState>,
    caller: Caller,
    PathId((id, session)): PathId<(UserId, SessionId)>,
) -> ApiResult<StatusCode> {
    let user = find_user(&state, &caller, Action::SessionEnd, id).await?;
    let entry = caller.audit_entry(Action::SessionEnd, ObjectKind::Session, session);
    let entry = entry.with("user", user.id.to_string());
    if !state.app.store.end_user_session(user.id, session, EndReason::EndedByAdmin, &entry).await? {
        return Err(refuse(&state, entry, ApiError::NotFound).await);
    }
    Ok(StatusCode::NO_CONTENT)
}

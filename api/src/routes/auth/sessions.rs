use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::routes::accounts::session_body::{EndedSessionsResponse, SessionListResponse};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, EndReason, ObjectKind, SessionId};

/// List your own sessions
#[utoipa::path(
    get,
    path = "/api/v1/auth/sessions",
    tag = "sign-in",
    responses((status = 200, description = "The active sessions.", body = SessionListResponse)),
)]
pub(crate) async fn list_own_sessions(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<SessionListResponse>> {
    let sessions = state.app.store.user_sessions(caller.user.id).await?;
    let entry = caller.audit_entry(Action::SessionsView, ObjectKind::User, caller.user.id);
    state.app.store.append_audit_entry(&entry).await?;
    Ok(Json(SessionListResponse::of(sessions, Some(caller.session()?))))
}

/// End one of your own sessions
///
/// All tokens of the session become invalid immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions/{session_id}",
    tag = "sign-in",
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn end_own_session(
    State(state): State<AppState>,
    caller: Caller,
    PathId(session): PathId<SessionId>,
) -> ApiResult<StatusCode> {
    let entry = caller.audit_entry(Action::SessionEnd, ObjectKind::Session, session);
    let (store, user) = (&state.app.store, caller.user.id);
    if !store.end_user_session(user, session, EndReason::EndedByUser, &entry).await? {
        return Err(refuse(&state, entry, ApiError::NotFound).await);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// End all of your other sessions
///
/// The session used for the request remains active. All tokens of the other sessions become invalid immediately.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/sessions",
    tag = "sign-in",
    responses((status = 200, description = "The sessions have ended.", body = EndedSessionsResponse)),
)]
pub(crate) async fn end_own_other_sessions(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<EndedSessionsResponse>> {
    let (this, user) = (caller.session()?, caller.user.id);
    let entry = caller.audit_entry(Action::SessionEnd, ObjectKind::User, user);
    let ended =
        state.app.store.end_user_sessions(user, Some(this), EndReason::EndedByUser, &entry).await?;
    Ok(Json(EndedSessionsResponse::of(ended)))
}

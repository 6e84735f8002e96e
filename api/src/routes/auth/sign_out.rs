//! `POST /api/v1/auth/logout`: ends the session that asks for it.

use crate::app::AppState;
use crate::auth::{Caller, Via};
use crate::error::{ApiError, ApiResult};
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, ObjectKind};

/// Ends this session, at once and everywhere.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    tag = "sign-in",
    responses((status = 204, description = "It has ended.")),
)]
pub(crate) async fn sign_out(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<StatusCode> {
    let Via::Session(session) = caller.via else { return Err(ApiError::Forbidden) };
    let line = caller.did(Action::SignOut, ObjectKind::Session, session);
    state.app.store.end_session(session, "signed_out", &line).await?;
    Ok(StatusCode::NO_CONTENT)
}

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::cookies;
use crate::error::ApiResult;
use axum::extract::State;
use axum::http::StatusCode;
use axum_extra::extract::cookie::CookieJar;
use diagflow_store::{Action, EndReason, ObjectKind};

/// Sign out
///
/// Ends the current session immediately and removes its cookies.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    tag = "sign-in",
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn sign_out(
    State(state): State<AppState>,
    caller: Caller,
    jar: CookieJar,
) -> ApiResult<(CookieJar, StatusCode)> {
    let session = caller.session()?;
    let entry = caller.audit_entry(Action::SignOut, ObjectKind::Session, session);
    state.app.store.end_session(session, EndReason::SignedOut, &entry).await?;
    Ok((cookies::clear_session(&state.app.settings, jar), StatusCode::NO_CONTENT))
}

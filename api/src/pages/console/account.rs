//! The page of the caller's own account.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::pages::console::context::ConsoleContext;
use crate::pages::render::page;
use crate::routes::accounts::session_body::SessionBody;
use crate::routes::auth::sessions::list_own_sessions;
use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

#[derive(Template)]
#[template(path = "console/account.html")]
struct AccountTemplate {
    page: ConsoleContext,
    email: String,
    sessions: Vec<SessionBody>,
}

pub(super) async fn read_account_page(
    state: State<AppState>,
    caller: Caller,
    context: ConsoleContext,
) -> ApiResult<Response> {
    let email = caller.user.email.to_string();
    let Json(sessions) = list_own_sessions(state, caller).await?;
    let template = AccountTemplate { page: context, email, sessions: sessions.data };
    Ok(page(StatusCode::OK, &template))
}

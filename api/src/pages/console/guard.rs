//! Checks the permission that a page of the console requires.

use crate::app::AppState;
use crate::auth::guard::run_guarded;
use crate::auth::permissions::Permission;
use crate::error::ApiError;
use crate::pages::context::PageContext;
use crate::pages::error::PageError;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::MethodRouter;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Requires a permission for a page. Visitors who are not signed in are redirected to the sign-in page, which returns
/// them to this page.
pub(super) fn guarded_page(
    state: &AppState,
    permission: Permission,
    page: MethodRouter<AppState>,
) -> MethodRouter<AppState> {
    page.route_layer(from_fn_with_state((state.clone(), permission), authorize))
}

async fn authorize(
    State((state, permission)): State<(AppState, Permission)>,
    request: Request,
    next: Next,
) -> Response {
    let context = PageContext::of(request.headers(), request.uri());
    let reject = move |error| match error {
        ApiError::SignInRequired
        | ApiError::TokenExpired
        | ApiError::TokenInvalid
        | ApiError::SessionEnded => {
            let here = utf8_percent_encode(&context.address, NON_ALPHANUMERIC);
            Redirect::to(&format!("/login?return={here}")).into_response()
        }
        error => PageError::in_context(error, &context).into_response(),
    };
    run_guarded(&state, permission, request, next, reject).await
}

//! How many requests one client may send to the routes that anybody reaches. Each process counts for
//! itself: this keeps one client from taking the service away from others; guessing of passwords is slowed
//! down elsewhere (`auth::throttle`), over all processes. What is refused for want of a proof is counted at
//! every route (`auth::refuse`).
//!
//! Every answer of a route that is counted says where the client stands, by draft-ietf-httpapi-ratelimit-headers-10: the quota is the
//! burst, and the window the time in which a burst that was used up comes back, evenly.

use crate::app::AppState;
use crate::error::ErrorCode;
use crate::extract::client_info::ClientInfo;
use crate::layers::limiters::RateLimitClass;
use crate::openapi::route::add_errors;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::UtoipaMethodRouter;

/// Routes that count what each client sends, and say so in their documentation.
pub(crate) fn rate_limited(
    state: &AppState,
    class: RateLimitClass,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    add_errors(&mut paths, &[ErrorCode::TooManyRequests]);
    let layer = from_fn_with_state((state.clone(), class), count);
    (schemas, paths, router.route_layer(layer))
}

/// The same for routes that stand in no documentation.
pub(crate) fn rate_limited_router(
    state: &AppState,
    class: RateLimitClass,
    router: Router,
) -> Router {
    router.layer(from_fn_with_state((state.clone(), class), count))
}

async fn count(
    State((state, class)): State<(AppState, RateLimitClass)>,
    request: Request,
    next: Next,
) -> Response {
    let proxies = state.app.settings.trusted_proxies;
    let client = ClientInfo::of(request.headers(), request.extensions(), proxies);
    let limiter = state.limiters.limiter(class);
    let usage = limiter.count(client.key());
    let mut response = match limiter.check(class.name(), usage) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => exceeded.into_response(),
    };
    limiter.add_headers(class.name(), usage, &mut response);
    response
}

//! Limits how many requests one client may send to public routes. Each process counts separately, which is enough to
//! prevent one client from using all capacity. Password guessing is limited across processes (`auth::throttle`), and
//! requests without valid credentials are counted on every route (`auth::audit`).
//!
//! Responses include the headers defined in draft-ietf-httpapi-ratelimit-headers-10: the quota is the burst, and the
//! window is the time that a used-up burst takes to refill.

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

/// Counts each client's requests to these routes, and documents the limit.
pub(crate) fn rate_limited(
    state: &AppState,
    class: RateLimitClass,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    add_errors(&mut paths, &[ErrorCode::TooManyRequests]);
    let layer = from_fn_with_state((state.clone(), class), count);
    (schemas, paths, router.route_layer(layer))
}

/// Like [`rate_limited`], but for routes without documentation.
pub(crate) fn rate_limited_router<S: Clone + Send + Sync + 'static>(
    state: &AppState,
    class: RateLimitClass,
    router: Router<S>,
) -> Router<S> {
    router.layer(from_fn_with_state((state.clone(), class), count))
}

async fn count(
    State((state, class)): State<(AppState, RateLimitClass)>,
    request: Request,
    next: Next,
) -> Response {
    let proxies = &state.app.settings.proxies;
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

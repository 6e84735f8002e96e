//! How many requests one client may send to the routes that anybody reaches. Each process counts for
//! itself: this keeps one client from taking the service away from others; guessing of passwords is slowed
//! down elsewhere (`auth::throttle`), over all processes. What is refused for want of a proof is counted at
//! every route (`auth::refuse`).
//!
//! Every answer of a route that is counted says where the client stands, by draft-ietf-httpapi-ratelimit-headers-10: the quota is the
//! burst, and the window the time in which a burst that was used up comes back, evenly.

use crate::app::AppState;
use crate::extract::origin::Origin;
use crate::layers::limiters::Counted;
use crate::openapi::refusals::{Refusal, note};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::UtoipaMethodRouter;

/// Routes that count what each client sends, and say so in their documentation.
pub(crate) fn limited(
    state: &AppState,
    counted: Counted,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    note(&mut paths, &[Refusal::TooMany]);
    let layer = from_fn_with_state((state.clone(), counted), count);
    (schemas, paths, router.route_layer(layer))
}

/// The same for routes that stand in no documentation.
pub(crate) fn limited_beside(state: &AppState, counted: Counted, router: Router) -> Router {
    router.layer(from_fn_with_state((state.clone(), counted), count))
}

async fn count(
    State((state, counted)): State<(AppState, Counted)>,
    request: Request,
    next: Next,
) -> Response {
    let proxies = state.app.settings.trusted_proxies;
    let origin = Origin::of(request.headers(), request.extensions(), proxies);
    let limiter = state.limiters.of(counted);
    let standing = limiter.count(origin.client());
    let mut response = match limiter.admitted(counted.name(), standing) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => exceeded.into_response(),
    };
    limiter.tell(counted.name(), standing, &mut response);
    response
}

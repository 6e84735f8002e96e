//! Puts the routes, the documentation and the layers together.

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::layers::cors::cors;
use crate::layers::headers::security_headers;
use crate::layers::limiters::Counted;
use crate::layers::linger::linger;
use crate::layers::observe::observe;
use crate::layers::rate_limit::limited_beside;
use crate::{routes, telemetry};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutBody};
use utoipa_swagger_ui::SwaggerUi;

/// The whole API as a router, for a server of your own; [`crate::server::serve`] is the usual way.
pub fn router(app: App) -> Router {
    build(AppState::new(app, CancellationToken::new()))
}

/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);

/// A request as the routes know it.
fn whole(request: Request<TimeoutBody<Body>>) -> Request<Body> {
    linger(request.map(Body::new))
}

pub(crate) fn build(state: AppState) -> Router {
    with_patience(state, SILENCE)
}

/// The same, where a client may be silent in the middle of a body for the time `patience`.
pub(crate) fn with_patience(state: AppState, patience: Duration) -> Router {
    telemetry::describe();
    let settings = &state.app.settings;
    let (cors, is_secure) = (cors(settings), settings.is_secure());
    let (routes, document) = routes::all(&state).split_for_parts();
    let documentation = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    let documentation = limited_beside(&state, Counted::Health, documentation);
    routes
        .with_state(state)
        .merge(documentation)
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // The last one is the outermost.
        .layer(cors)
        .layer(
            ServiceBuilder::new().layer(RequestBodyTimeoutLayer::new(patience)).map_request(whole),
        )
        .layer(from_fn_with_state(is_secure, security_headers))
        .layer(from_fn(observe))
}

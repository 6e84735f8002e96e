//! Combines the routes, the documentation and the layers.

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::layers::cors::cors;
use crate::layers::head_limit::limit_head;
use crate::layers::headers::security_headers;
use crate::layers::limiters::RateLimitClass;
use crate::layers::lingering_close::drain_unread_body;
use crate::layers::observe::observe;
use crate::layers::rate_limit::rate_limited_router;
use crate::layers::reserved_connections::refuse_on_reserved_connection;
use crate::openapi::redoc::redoc;
use crate::pages::{not_found_page, pages};
use crate::{openapi, routes, telemetry};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutBody};
use utoipa_swagger_ui::SwaggerUi;

/// Returns the API as a router, for use without [`crate::server::serve`].
pub fn router(app: App) -> Router {
    build(AppState::new(app, CancellationToken::new()))
}

/// Maximum time to wait for the next part of a request body, and to discard the rest of an unneeded body. Matches the
/// default of nginx's `lingering_time`.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn build(state: AppState) -> Router {
    build_with_body_timeout(state, BODY_READ_TIMEOUT)
}

pub(crate) fn build_with_body_timeout(state: AppState, body_timeout: Duration) -> Router {
    telemetry::describe();
    let settings = &state.app.settings;
    let (cors, is_secure) = (cors(settings), settings.is_secure());
    let (routes, mut document) = routes::all(&state).split_for_parts();
    openapi::apply_settings(&mut document, settings);
    let documentation: Router = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    let documentation = documentation.merge(redoc());
    let documentation = rate_limited_router(&state, RateLimitClass::Health, documentation);
    let routes = routes.merge(pages(&state));
    routes
        .with_state(state)
        .merge(documentation)
        .fallback(not_found_page)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // The layer added last is the outermost one.
        .layer(cors)
        .layer(ServiceBuilder::new().layer(RequestBodyTimeoutLayer::new(body_timeout)).map_request(
            move |request: Request<TimeoutBody<Body>>| {
                drain_unread_body(request.map(Body::new), body_timeout)
            },
        ))
        .layer(from_fn(refuse_on_reserved_connection))
        .layer(from_fn(limit_head))
        .layer(from_fn_with_state(is_secure, security_headers))
        .layer(from_fn(observe))
}

//! Puts the routes, the documentation and the layers together.

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::layers::{cors, observe, security_headers};
use crate::{routes, telemetry};
use axum::Router;
use axum::middleware::from_fn;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::SwaggerUi;

/// The whole API as a router, for a server of your own; [`crate::serve`] is the usual way.
pub fn router(app: App) -> Router {
    build(AppState::new(app, CancellationToken::new()))
}

pub(crate) fn build(state: AppState) -> Router {
    telemetry::describe();
    let settings = &state.app.settings;
    let cors = cors(settings);
    let (routes, document) = routes::all(&state).split_for_parts();
    routes
        .with_state(state)
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        // The last one is the outermost.
        .layer(cors)
        .layer(from_fn(security_headers))
        .layer(from_fn(observe))
}

//! Every route there is, in one list.

mod auth;
mod events;
mod files;
mod health;
mod home;
mod loopai;
mod metrics;
mod patience;
mod ready;
mod status;
mod submit;
mod version;

use crate::app::AppState;
use crate::auth::{Permission, guarded};
use crate::layers::limit_time;
use crate::openapi::Document;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// A call-back names a submission; what is longer is none.
const LARGEST_CALL_BACK: usize = 64 * 1024;

/// The routes with their part of the documentation. Each handler's attribute names its path.
pub(crate) fn all(state: &AppState) -> OpenApiRouter<AppState> {
    let settings = &state.app.settings;
    let asks = from_fn_with_state(settings.request_time, limit_time);
    let body = DefaultBodyLimit::max(settings.max_body());
    let call_back = DefaultBodyLimit::max(LARGEST_CALL_BACK);

    OpenApiRouter::with_openapi(Document::openapi())
        // Limits its own time: what may take long is the upload, and only that.
        .routes(routes!(submit::submit).layer(body))
        .routes(routes!(status::status).layer(asks.clone()))
        .routes(routes!(events::events).layer(asks.clone()))
        .routes(routes!(files::file).layer(asks.clone()))
        .routes(routes!(auth::sign_in::sign_in).layer(asks.clone()))
        .routes(
            guarded(state, Permission::AccountSelf, routes!(auth::sign_out::sign_out))
                .layer(asks.clone()),
        )
        .routes(routes!(loopai::called_back).layer(call_back).layer(asks.clone()))
        .routes(routes!(health::health).layer(asks.clone()))
        .routes(routes!(health::database).layer(asks.clone()))
        .routes(routes!(ready::ready).layer(asks.clone()))
        .routes(routes!(version::version).layer(asks.clone()))
        .routes(routes!(metrics::metrics).layer(asks.clone()))
        .routes(routes!(home::home).layer(asks))
}

//! Every route there is, in one list.

mod admin;
mod auth;
mod events;
mod files;
mod health;
mod home;
mod loopai;
mod metrics;
mod own;
mod patience;
mod ready;
mod status;
mod submit;
mod version;

use crate::app::AppState;
use crate::auth::{Permission, guarded};
use crate::layers::{TimeLimit, limit_time};
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
    let asks = from_fn_with_state(TimeLimit::Request(settings.request_time), limit_time);
    let uploads = from_fn_with_state(TimeLimit::Upload(settings.submit_time), limit_time);
    let body = DefaultBodyLimit::max(settings.max_body());
    let call_back = DefaultBodyLimit::max(LARGEST_CALL_BACK);

    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(submit::submit).layer(body).layer(uploads))
        .routes(routes!(status::status).layer(asks.clone()))
        .routes(routes!(events::events).layer(asks.clone()))
        .routes(routes!(files::file).layer(asks.clone()))
        .routes(routes!(auth::sign_in::sign_in).layer(asks.clone()))
        .routes(
            guarded(state, Permission::AccountSelf, routes!(auth::sign_out::sign_out))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsReadOwn, routes!(own::own)).layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsRead, routes!(admin::list::list))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsExport, routes!(admin::export::export))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsRead, routes!(admin::detail::detail))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsDelete, routes!(admin::deletion::delete))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsDelete, routes!(admin::deletion::restore))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::ClinicalRead, routes!(admin::file::file))
                .layer(asks.clone()),
        )
        .routes(
            guarded(state, Permission::SubmissionsRead, routes!(admin::live::events))
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

//! The pages for patients and staff, rendered on the server from the templates in `api/templates/`.
//!
//! Pages use the same services as the JSON API, and every route requires the same permission as its counterpart there.
//! [`patient`] contains the patient's pages, and [`console`] the pages for staff.

mod assets;
mod console;
mod context;
mod error;
mod language;
mod local_path;
mod masked;
mod patient;
mod render;

pub(crate) use error::not_found_page;

use crate::app::AppState;
use crate::layers::limiters::RateLimitClass;
use crate::layers::rate_limit::rate_limited_router;
use axum::Router;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

pub(crate) fn pages(state: &AppState) -> Router<AppState> {
    let public = Router::new()
        .route("/language/{tag}", get(language::choose_language))
        .merge(patient::pages(state))
        .route(assets::PATH, get(assets::read_asset));
    let public = rate_limited_router(state, RateLimitClass::Read, public)
        .merge(patient::form(state))
        .merge(patient::actions(state));
    // Staff pages are not compressed, because a search term and secret data on one compressed page can reveal the data
    // by the page's size (BREACH).
    public.layer(CompressionLayer::new()).merge(console::pages(state))
}

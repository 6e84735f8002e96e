//! Serves Redoc, a second viewer for the OpenAPI document, at `/redoc`.
//!
//! `assets/redoc/` contains the unmodified bundle of the npm package `redoc` 2.5.4 and its licences. Version 2 is still
//! maintained, and version 3 sends telemetry and loads icons from other hosts. The page has the same content security
//! policy as all other pages. Search is disabled, because it would need a worker from a `blob:` URL. The bundle would
//! load a logo from another host, so that address is replaced when the bundle is served.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, Redirect};
use axum::routing::get;
use std::sync::LazyLock;

/// The path contains the version, so browsers may cache the files in this folder indefinitely.
const FOLDER: &str = "/redoc/2.5.4-1";
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let script = include_str!("../../assets/redoc/redoc.standalone.js");
    script.replace(REMOTE_LOGO, NO_LOGO)
});
const REMOTE_LOGO: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";
/// An empty image. Redoc hides a logo that cannot be displayed.
const NO_LOGO: &str = "data:,";
/// Licences of Redoc and of the packages in its bundle. The bundle refers to this file by name.
const LICENCES: &str = concat!(
    include_str!("../../assets/redoc/LICENSE"),
    "\n",
    include_str!("../../assets/redoc/redoc.standalone.js.LICENSE.txt")
);

pub(crate) fn redoc() -> Router {
    let page = Html(include_str!("../../assets/redoc/index.html"));
    let script = file("text/javascript; charset=utf-8", SCRIPT.as_str());
    let licences = file("text/plain; charset=utf-8", LICENCES);
    Router::new()
        .route("/redoc", get(page))
        .route("/redoc/", get(Redirect::to("/redoc")))
        .route(&format!("{FOLDER}/redoc.standalone.js"), get(script))
        .route(&format!("{FOLDER}/redoc.standalone.js.LICENSE.txt"), get(licences))
}

type File = ([(HeaderName, &'static str); 2], &'static str);

fn file(media_type: &'static str, text: &'static str) -> File {
    let cached = (CACHE_CONTROL, "public, max-age=31536000, immutable");
    ([(CONTENT_TYPE, media_type), cached], text)
}

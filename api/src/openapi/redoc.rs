//! Redoc, a second viewer of the OpenAPI document, at `/redoc`.
//!
//! `assets/redoc/` contains the bundle of the npm package `redoc` 2.5.4, unmodified, and its licences. Version 2 is
//! maintained beside version 3, which sends telemetry and loads icons from other hosts. The page obeys the same content
//! security policy as all others; search is disabled, because it would need a worker from a `blob:` URL.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, Redirect};
use axum::routing::get;

/// Contains the version, so that browsers may cache the files under it for ever.
const FOLDER: &str = "/redoc/2.5.4";
const SCRIPT: &str = include_str!("../../assets/redoc/redoc.standalone.js");
/// The licence of Redoc, and those of the packages in its bundle. The bundle refers to this file by its name.
const LICENCES: &str = concat!(
    include_str!("../../assets/redoc/LICENSE"),
    "\n",
    include_str!("../../assets/redoc/redoc.standalone.js.LICENSE.txt")
);

pub(crate) fn redoc() -> Router {
    let page = Html(include_str!("../../assets/redoc/index.html"));
    let script = file("text/javascript; charset=utf-8", SCRIPT);
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

//! Stylesheets, scripts and images of the pages, embedded in the binary. The path of every asset contains a digest of
//! all assets, so browsers may cache them indefinitely, and scripts can import each other by relative paths.

use crate::error::{ApiError, ApiResult};
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use diagflow_store::Sha256;
use rust_embed::RustEmbed;
use std::sync::LazyLock;

pub(super) const PATH: &str = "/assets/{version}/{*name}";

#[derive(RustEmbed)]
#[folder = "assets/pages"]
struct Assets;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digests = Vec::new();
    for name in Assets::iter() {
        let file = Assets::get(&name).expect("a listed asset exists");
        digests.extend_from_slice(name.as_bytes());
        digests.extend_from_slice(&file.metadata.sha256_hash());
    }
    Sha256::of(&digests).to_string()[..16].to_owned()
});

/// Returns the path of an asset, such as `styles/base.css`.
pub(crate) fn asset_path(name: &str) -> String {
    debug_assert!(Assets::get(name).is_some(), "there is no asset {name}");
    format!("/assets/{}/{name}", *VERSION)
}

/// Returns an asset. Assets of another version, which an open page may still request during an update, are not cached.
pub(super) async fn read_asset(
    Path((version, name)): Path<(String, String)>,
) -> ApiResult<Response> {
    let file = Assets::get(&name).ok_or(ApiError::NotFound)?;
    let is_current = version == *VERSION;
    let caching = if is_current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(CONTENT_TYPE, media_type(&name)), (CACHE_CONTROL, caching)];
    Ok((headers, file.data).into_response())
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_a_media_type() {
        for name in Assets::iter() {
            let is_text = media_type(&name).starts_with("text/plain");
            assert!(!is_text || name.ends_with(".txt") || name.ends_with(".ts"), "{name}");
        }
    }
}

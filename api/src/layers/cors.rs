//! Which pages of other origins may call the API, and what they may send and read.

use super::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use super::request_id::X_REQUEST_ID;
use crate::auth::cookies::CSRF_HEADER;
use crate::settings::ApiSettings;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long browsers remember the answer to a preflight.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// The layer, from the settings. Origins that are no header text can match nothing, and are left out.
pub(crate) fn cors(settings: &ApiSettings) -> CorsLayer {
    let everyone = settings.cors_origins.iter().any(|origin| origin == "*");
    let listed = settings
        .cors_origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok());
    let origins = if everyone { AllowOrigin::any() } else { AllowOrigin::list(listed) };
    CorsLayer::new()
        .allow_origin(origins)
        // Browsers refuse cookies together with `*`.
        .allow_credentials(!everyone)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CACHE_CONTROL,
            CONTENT_TYPE,
            CSRF_HEADER,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            X_REQUEST_ID,
        ])
        .expose_headers([
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            X_REQUEST_ID,
        ])
        .max_age(REMEMBERED)
}

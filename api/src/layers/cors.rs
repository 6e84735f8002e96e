//! The CORS policy: the allowed origins, and the headers that their pages may send and read.

use crate::header_names::{
    CSRF_HEADER, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, LAST_EVENT_ID, RATE_LIMIT,
    RATE_LIMIT_POLICY, X_REQUEST_ID,
};
use crate::settings::ApiSettings;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH,
    LOCATION, RETRY_AFTER,
};
use axum::http::{HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// Ignores configured origins that are not valid header values, because they cannot match any request.
pub(crate) fn cors(settings: &ApiSettings) -> CorsLayer {
    let any_origin = settings.cors_origins.iter().any(|origin| origin == "*");
    let listed = settings
        .cors_origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok());
    let origins = if any_origin { AllowOrigin::any() } else { AllowOrigin::list(listed) };
    CorsLayer::new()
        .allow_origin(origins)
        // Browsers reject credentials if all origins are allowed.
        .allow_credentials(!any_origin)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CACHE_CONTROL,
            CONTENT_ENCODING,
            CONTENT_TYPE,
            CSRF_HEADER,
            IDEMPOTENCY_KEY,
            IF_MATCH,
            IF_NONE_MATCH,
            LAST_EVENT_ID,
            X_REQUEST_ID,
        ])
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            IDEMPOTENCY_REPLAYED,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            X_REQUEST_ID,
        ])
        .max_age(PREFLIGHT_MAX_AGE)
}

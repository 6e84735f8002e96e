//! Names of headers for which the `http` crate has no constants.

use axum::http::HeaderName;

pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

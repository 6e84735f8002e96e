//! Names of the security schemes, and security requirements for routes.

use utoipa::openapi::security::SecurityRequirement;

pub(crate) const SUBMISSION_TOKEN: &str = "submission_token";
pub(crate) const SUBMISSION_COOKIE: &str = "submission_cookie";
pub(crate) const SESSION: &str = "session";
pub(crate) const SESSION_COOKIE: &str = "session_cookie";
pub(crate) const CSRF_TOKEN: &str = "csrf_token";

const NO_SCOPES: [&str; 0] = [];

/// Requires a submission's access token.
pub(crate) fn submission_token() -> [SecurityRequirement; 2] {
    [SUBMISSION_TOKEN, SUBMISSION_COOKIE].map(|scheme| SecurityRequirement::new(scheme, NO_SCOPES))
}

/// Requires an account with one of these permissions, for a read-only request.
pub(crate) fn account(permissions: &[&str]) -> [SecurityRequirement; 2] {
    [SESSION, SESSION_COOKIE].map(|scheme| SecurityRequirement::new(scheme, permissions.to_vec()))
}

/// Like [`account`], for a request that changes data.
pub(crate) fn account_with_csrf_token(permissions: &[&str]) -> [SecurityRequirement; 2] {
    let [session, cookie] = account(permissions);
    [session, cookie.add(CSRF_TOKEN, NO_SCOPES)]
}

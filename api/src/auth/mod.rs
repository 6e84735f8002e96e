//! Authentication and permissions.
//!
//! [`guard`] identifies the [`caller::Caller`] by the request's [`credentials`] and checks the route's permission.
//! Handlers receive the caller, never a token.

pub(crate) mod audit;
pub(crate) mod audit_limits;
pub(crate) mod auth_method;
pub(crate) mod caller;
pub(crate) mod cookies;
pub(crate) mod credentials;
pub(crate) mod device;
pub(crate) mod guard;
mod hmac_provider;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod password;
pub(crate) mod permission_polls;
pub(crate) mod permissions;
pub(crate) mod random_secret;
pub(crate) mod refresh;
pub(crate) mod stream_access;
pub(crate) mod submission_tokens;
pub(crate) mod throttle;
pub(crate) mod watch;
pub(crate) mod webhook;

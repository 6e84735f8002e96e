//! `/api/v1/auth`: sign-in and sign-out, and the caller's own password and sessions.

pub(super) mod console_sign_in;
pub(super) mod password;
pub(super) mod refresh;
mod session_response;
mod session_start;
pub(crate) mod sessions;
pub(super) mod sign_in;
pub(super) mod sign_out;
pub(super) mod validate;
